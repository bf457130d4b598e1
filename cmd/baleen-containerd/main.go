package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat/version"
	"github.com/baleen-project/baleen/diff"
)

// options are the flags.
type options struct {
	root, address, containerd string
	logLevel                  string
	limit                     diff.Limit // of layers
	version, printConfig      bool
	differForAll, anyCaller   bool
}

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintln(os.Stderr, "baleen-containerd:", err)
		os.Exit(2)
	case o.version:
		fmt.Println("baleen-containerd", version.Version)
	case o.printConfig:
		err = o.writeConfig(os.Stdout)
	default:
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "baleen-containerd:", err)
		os.Exit(1)
	}
}

// parse reads the flags, and checks them.
func parse(args []string, output io.Writer) (o options, err error) {
	o.limit.Allow = "baleen-containerd --max-layer-size, such as 2TiB, says how much is allowed"
	flags := flag.NewFlagSet("baleen-containerd", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&o.root, "root", "/var/lib/baleen-containerd", "`folder` of the snapshots")
	flags.StringVar(&o.address, "address", "/run/baleen-containerd/baleen-containerd.sock", "`socket` to listen on")
	flags.StringVar(&o.containerd, "containerd-address", "/run/containerd/containerd.sock", "`socket` of the containerd that is served")
	flags.Func("max-layer-size", "`size` over which layers are neither made nor unpacked (default 1TiB)", func(text string) (err error) {
		o.limit.Bytes, err = diff.ParseLimit(text)
		return err
	})
	flags.StringVar(&o.logLevel, "log-level", "info", "trace, debug, info, warn, error, fatal or panic")
	flags.BoolVar(&o.printConfig, "print-config", false, "print what containerd's configuration needs, and end")
	flags.BoolVar(&o.anyCaller, "any-caller", false, "answer whoever can open the socket, instead of the one containerd that the root belongs to")
	flags.BoolVar(&o.differForAll, "differ-for-all", false, "with --print-config: use the differ for all snapshotters, which then depend on this daemon")
	flags.BoolVar(&o.version, "version", false, "print the version, and end")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: %w", flags.Arg(0), errdefs.ErrInvalidArgument)
	}
	if o.differForAll && !o.printConfig {
		return o, fmt.Errorf("--differ-for-all works only with --print-config: %w", errdefs.ErrInvalidArgument)
	}
	for name, path := range map[string]*string{"root": &o.root, "address": &o.address, "containerd-address": &o.containerd} {
		if !filepath.IsAbs(*path) {
			return o, fmt.Errorf("--%s %q: want an absolute path: %w", name, *path, errdefs.ErrInvalidArgument)
		}
		*path = filepath.Clean(*path)
	}
	if err := log.SetLevel(o.logLevel); err != nil {
		return o, fmt.Errorf("--log-level: %w", err)
	}
	return o, nil
}

// run serves until a signal asks it to end.
func run(o options) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("must run as root: snapshots have files of all owners: %w", errdefs.ErrPermissionDenied)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return serve(ctx, o)
}
