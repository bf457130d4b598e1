package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// counting counts from 1, in a variable and in a file.
const counting = "n=0; while :; do n=$((n+1)); echo $n > /count; sleep 0.1; done"

// checkpoint tells and checks how a running container is kept, goes on, and is
// rewound: with its processes where the daemon has CRIU.
func (s *story) checkpoint() error {
	say("A container counts, in memory and in a file")
	if _, err := s.show("run", "-d", "--name", "counter", app.Name, "sh", "-c", counting); err != nil {
		return err
	}
	kind := "--leave-running"
	able, err := s.keepsProcesses()
	if err != nil {
		return err
	}
	if !able {
		fmt.Println("    So its files alone are kept (make criu unpacks a CRIU).")
		kind = "--no-process"
	}
	from, err := s.countedPast(10)
	if err != nil {
		return err
	}
	say("Keep it as an image, and let it go on")
	_, kept, err := s.timed("checkpoint", kind, "counter", "counter:kept")
	if err != nil {
		return err
	}
	to, err := s.countedPast(from + 20)
	if err != nil {
		return err
	}
	say("Rewind it")
	if _, err := s.docker("rm", "-f", "counter"); err != nil {
		return err
	}
	_, made, err := s.timed("restore", "counter:kept")
	if err != nil {
		return err
	}
	now, err := s.countedPast(0)
	if err != nil {
		return err
	}
	if kind == "--leave-running" && (now < from || now >= to) {
		return fmt.Errorf("kept after %d it goes on with %d", from, now)
	}
	fmt.Printf("    It was kept at %d or a little more, went on to %d, and is at %d. The checkpoint took %.0f ms, the restore %.0f ms.\n",
		from, to, now, ms(kept), ms(made))
	return nil
}

// keepsProcesses asks the daemon whether it can keep processes, and shows why not.
func (s *story) keepsProcesses() (bool, error) {
	// The command fails if the daemon cannot. The reason is on standard error.
	answer, err := s.show("baleen", "checkpoint", "--check", "--format", "{{.Processes}}")
	switch {
	case answer == "true" && err == nil:
		return true, nil
	case answer == "false" && err != nil:
		indent(err.Error())
		return false, nil
	}
	return false, errors.Join(fmt.Errorf("docker baleen checkpoint --check answers %q", answer), err)
}

// countedPast waits until the counter is past a number, and returns where it is.
func (s *story) countedPast(past int) (int, error) {
	for {
		out, err := s.docker("exec", "counter", "cat", "/count")
		n, bad := strconv.Atoi(strings.TrimSpace(out))
		if err == nil && bad == nil && n > past {
			return n, nil
		}
		select {
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
