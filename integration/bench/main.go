package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/bench/results"
	"github.com/baleen-project/baleen/integration/stack"
)

// innerEnv has the run's folder for the process that does the work, in a mount
// namespace of its own. The process that was called waits and clears up.
const innerEnv = "BALEEN_BENCH_INNER"

// lockFD is the descriptor of the folder's lock in that process.
const lockFD = 3

// options are what the command line says.
type options struct {
	quick, cold, install bool
	proxy                bool
	only                 []string
	rounds               int
	json                 string
}

func main() {
	opts, err := parse(os.Args[1:])
	switch dir := os.Getenv(innerEnv); {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
	case dir != "":
		os.Unsetenv(innerEnv)
		err = work(opts, dir)
	default:
		err = supervise(opts)
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.Exited() {
		os.Exit(1) // it has said why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var opts options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&opts.quick, "quick", false, "smaller inputs and fewer rounds, about five minutes")
	flags.BoolVar(&opts.cold, "cold", false, "drop the machine's page cache before each measurement")
	flags.BoolVar(&opts.install, "install", false, "install podman and xfsprogs with apt-get if they are missing")
	flags.BoolVar(&opts.proxy, "proxy", false, "measure the fork, stock on containerd, and stock with baleen-containerd, and nobody else")
	flags.StringVar(&only, "only", "", "measure only these workloads, such as W1,W3")
	flags.IntVar(&opts.rounds, "rounds", 0, "rounds of every workload, whatever time they take")
	flags.StringVar(&opts.json, "json", "", "write all samples to this file")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %s", flags.Arg(0))
	}
	known := workloadIDs(plan(opts.quick))
	for id := range strings.SplitSeq(strings.ToUpper(only), ",") {
		if id = strings.TrimSpace(id); id == "" {
			continue
		}
		if !slices.Contains(known, id) {
			return options{}, fmt.Errorf("no workload is called %s, only %s", id, strings.Join(known, ", "))
		}
		opts.only = append(opts.only, id)
	}
	return opts, nil
}

// takesPart reports whether a contestant is to be measured.
func (o options) takesPart(contestant string) bool {
	switch contestant {
	case results.Differ, results.Driver:
		return o.proxy
	case results.Overlay2, results.Podman:
		return !o.proxy
	}
	return true
}

// supervise runs this program again to do the work and removes what it leaves,
// however it ends.
func supervise(opts options) (err error) {
	if err := stack.CheckMachine(); err != nil {
		return err
	}
	if opts.install {
		if err := install(); err != nil {
			return err
		}
	}
	place, err := claimPlace()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.remove()) }()
	if err := place.checkSpace(opts.quick); err != nil {
		return err
	}

	// The kernel sees the death of the thread that started the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), innerEnv+"="+place.dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{place.lock} // lockFD
	cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGTERM}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		for range signals {
			_ = cmd.Process.Signal(unix.SIGTERM) // fails only if it has ended
		}
	}()
	return cmd.Wait()
}

// work measures and reports, in a mount namespace of its own.
func work(opts options, dir string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	supervisor := os.Getppid()
	defer func() {
		if os.Getppid() != supervisor { // it was killed and cannot clear up
			p := place{dir: dir, lock: os.NewFile(lockFD, "lock")}
			err = errors.Join(err, p.remove())
		}
	}()
	s := newSession(opts, dir)
	began := time.Now()
	err = s.run(ctx)
	s.report.Seconds = time.Since(began).Seconds()
	s.report.Judge()
	if ctx.Err() != nil {
		s.report.Note("interrupted: not all was measured")
	}
	if len(s.report.Series) > 0 {
		err = errors.Join(err, s.publish())
	}
	return err
}

// packages are what takes part if it is there, by the program that shows it.
var packages = map[string]string{"podman": "podman", "mkfs.xfs": "xfsprogs"}

// install installs what is missing where apt-get is.
func install() error {
	var missing []string
	for program, name := range packages {
		if !found(program) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 || !found("apt-get") {
		return nil
	}
	fmt.Println("installing", strings.Join(missing, " "))
	script := `export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
install "$@" 2>/dev/null || { apt-get update -qq && install "$@"; }`
	cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, missing...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("install %s: %w", strings.Join(missing, " "), err)
	}
	return nil
}

func found(program string) bool {
	for _, dir := range append(strings.Split(os.Getenv("PATH"), ":"), "/usr/sbin", "/sbin") {
		if info, err := os.Stat(dir + "/" + program); err == nil && !info.IsDir() {
			return true
		}
	}
	return false
}
