package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/stack"
)

const root = "/var/tmp/baleen-up"

// stopPatience is for dockerd, with its containers, and containerd together.
const stopPatience = 90 * time.Second

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := run(ctx, os.Args[1:])
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "up: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.SetOutput(os.Stderr)
	stock := flags.Bool("stock", false, "run Moby's dockerd as it is, not the fork")
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	switch verb {
	case "start":
		return start(ctx, *stock)
	case "stop":
		return stop(ctx)
	case "status":
		return status()
	}
	return fmt.Errorf("want start, stop or status, not %q", verb)
}

func start(ctx context.Context, stock bool) error {
	running, err := stack.Attach(root)
	if err == nil {
		return already(running)
	}
	if !errdefs.IsNotFound(err) {
		return err
	}
	if err := stack.FindCRIU(); err != nil {
		return err
	}
	config := stack.Config{Root: root, Detach: true}
	if stock {
		config.Flavor = stack.Stock
	}
	s, err := stack.Start(ctx, config)
	if err != nil {
		return err
	}
	if err := s.LoadImages(ctx, "busybox"); err != nil {
		return errors.Join(err, s.Kill())
	}
	fmt.Printf("A %s dockerd is up, with a busybox image.\n", config.Flavor)
	explain(s)
	return nil
}

// already explains how to use a stack that is up. It returns an error if that runs
// other programs than the chosen ones: those of another engine line or repository.
func already(s *stack.Stack) error {
	bin, err := stack.BinDir()
	if err != nil {
		return err
	}
	if bin != s.BinDir() {
		return errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf(
			"what is up runs the programs in %s, not those in %s: stop it first with make down", s.BinDir(), bin))
	}
	fmt.Println("It is already up.")
	explain(s)
	return nil
}

func explain(s *stack.Stack) {
	fmt.Printf(`To use it:

	export DOCKER_HOST=%s
	export DOCKER_CONFIG=%s
	%s run --rm busybox echo hello

The second line is for the plugins, such as docker baleen.

Its logs are in %s. To stop it and remove all that is in it:

	make down
`, s.Host(), s.ClientConfig(), filepath.Join(s.BinDir(), "docker"), s.Root())
}

func stop(ctx context.Context) error {
	s, err := stack.Attach(root)
	if errdefs.IsNotFound(err) {
		fmt.Println("It is not up.")
		return stack.Sweep() // it may have been, and been killed
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		return err
	}
	fmt.Println("It is down, and all that was in it is gone.")
	return nil
}

func status() error {
	s, err := stack.Attach(root)
	if errdefs.IsNotFound(err) {
		fmt.Println("It is not up.")
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range []stack.Daemon{stack.Containerd, stack.Dockerd} {
		if pid := s.Pid(d); pid != 0 {
			fmt.Printf("%s is running as process %d.\n", d, pid)
		} else {
			fmt.Printf("%s is not running. Its log ends with:\n%s\n", d, s.LogTail(d, 5))
		}
	}
	explain(s)
	return nil
}
