// Demo is `make run`: the main job end to end on a private stack, told step by
// step. It fails when a step does not give what it should.
//
//	demo [-without PROGRAM]    the daemons do not find a program that the machine has
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/baleen-project/baleen/integration/stack"
	"github.com/baleen-project/baleen/integration/stack/baseimage"
)

// The image that the story starts from: Debian and an application's files.
var app = baseimage.Generated{Name: "app", Base: "debian:bookworm-slim", Files: 15_000, Bytes: 50 << 20}

func main() {
	without := flag.String("without", "", "`program` that the daemons do not find, though the machine has it")
	flag.Parse()
	if err := run(strings.Fields(*without)); err != nil {
		fmt.Fprintln(os.Stderr, "\nrun:", err)
		os.Exit(1)
	}
}

func run(without []string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if err := stack.FindCRIU(); err != nil {
		return err
	}
	say("Two daemons, each with a containerd of its own, in namespaces that nothing else sees")
	fork, end, err := start(ctx, stack.Config{Flavor: stack.Fork, Without: without})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	stock, end2, err := start(ctx, stack.Config{Flavor: stack.Stock, Without: without})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end2()) }()

	s := &story{ctx: ctx, stack: fork}
	if err := s.tell(); err != nil {
		return err
	}
	if err := s.revise(); err != nil {
		return err
	}
	if err := s.checkpoint(); err != nil {
		return err
	}
	if err := compare(ctx, fork, stock); err != nil {
		return err
	}
	say("Done. Both daemons end now, and nothing of them stays. To play with one: make up")
	return nil
}

// start starts a stack with the application's image and returns what ends it.
func start(ctx context.Context, config stack.Config) (*stack.Stack, func() error, error) {
	began := time.Now()
	s, err := stack.Start(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	end := func() error {
		// ctx may have ended by an interrupt.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return errors.Join(s.Stop(ctx), stack.Leftovers(s.Root()))
	}
	up := time.Since(began)
	if err := s.GenerateImage(ctx, app); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	version, err := docker(ctx, s, "version", "-f", "{{.Server.Version}}")
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	fmt.Printf("    %-5s  Docker %s\n", config.Flavor, version)
	fmt.Printf("           up in %.1f s; image %q of %d files and %d MB made in %.1f s\n",
		up.Seconds(), app.Name, app.Files, app.Bytes>>20, (time.Since(began) - up).Seconds())
	return s, end, nil
}
