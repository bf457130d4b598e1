package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/baleen-project/baleen/integration/bench/procfs"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "inside:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	verb, a := "", &arguments{}
	if len(args) > 0 {
		verb, a.rest = args[0], args[1:]
	}
	switch verb {
	case "watch":
		return watch(a.text())
	case "random":
		return fill(a, random)
	case "text":
		return fill(a, text)
	case "edit":
		return edit(a)
	case "unpack":
		return unpack(a)
	case "prune":
		return prune(a)
	case "time":
		return timed(a.rest)
	}
	return fmt.Errorf("%q is no verb of this program", verb)
}

// arguments takes the arguments one by one. What is missing or malformed comes
// out at the end.
type arguments struct {
	rest []string
	err  error
}

func (a *arguments) text() string {
	if len(a.rest) == 0 {
		a.err = fmt.Errorf("too few arguments")
		return ""
	}
	first := a.rest[0]
	a.rest = a.rest[1:]
	return first
}

func (a *arguments) number() int64 {
	arg := a.text()
	if a.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(arg, 10, 64)
	if err != nil {
		a.err = err
	}
	return n
}

// Cost is what "inside time" prints, in JSON.
type Cost struct {
	Wall  time.Duration
	Usage procfs.Usage
}

// timed drops what the program prints, unless it fails.
func timed(argv []string) error {
	if len(argv) == 0 {
		return fmt.Errorf("no program to time")
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	wall, usage, err := procfs.Run(cmd)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(Cost{Wall: wall, Usage: usage})
}
