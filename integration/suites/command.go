package suites

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Options are the flags that all commands that run suites have.
type Options struct {
	// Run and Timeout are used instead of the suite's own if they are not zero.
	Run     string
	Timeout time.Duration
	// Fresh runs stock even if its results are known.
	Fresh bool
	// Verbose copies the output of the tests to that of the command.
	Verbose bool
}

// Parse adds the flags of o to those of a command, and parses its arguments, among
// which there may be nothing but flags.
func (o *Options) Parse(flags *flag.FlagSet, args []string) error {
	flags.StringVar(&o.Run, "run", "", "run only tests that match this `regexp`, as in go test -run")
	flags.DurationVar(&o.Timeout, "timeout", 0, "longest run of a suite on one set-up (default: the suite's own)")
	flags.BoolVar(&o.Fresh, "fresh", false, "run stock even if its results are known")
	flags.BoolVar(&o.Verbose, "v", false, "show the output of the tests as they run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

// chosen is the suite with the selection and the timeout that the options ask for.
func (o Options) chosen(s Suite) Suite {
	if o.Run != "" {
		s.Run = o.Run
	}
	if o.Timeout > 0 {
		s.Timeout = o.Timeout
	}
	return s
}

// Main is the main function of a command that runs suites: run does it, for the
// arguments of the command, until an interrupt ends its context, and reports to out.
// The exit status is 1 if a test failed, and 2 after an error.
func Main(name string, run func(ctx context.Context, args []string, out io.Writer) (Tally, error)) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	count, err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp): // printed
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(2)
	}
	fmt.Println(count)
	if count.Failed > 0 {
		os.Exit(1)
	}
}

// GoRun runs a command of the repository from its sources, and returns what that
// printed.
func GoRun(ctx context.Context, repo, command string, args ...string) (string, error) {
	args = append([]string{"run", command}, args...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = repo
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(messages.Bytes()))
	}
	return strings.TrimSpace(out.String()), nil
}
