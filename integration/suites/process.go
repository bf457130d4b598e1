package suites

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// limits on a run of a test binary.
type limits struct {
	// whole run.
	whole time.Duration
	// silence is how long it may print nothing, which a test that hangs does.
	silence time.Duration
	// dying is how long it may take to end after SIGQUIT, with which Go programs
	// print what they were at.
	dying time.Duration
}

const (
	// maxSilence is well above the slowest of the tests, which wait for a
	// minute or two at most.
	maxSilence = 4 * time.Minute
	maxDying   = 15 * time.Second
)

// ending says how a test binary ended if not of its own accord: "timed out after
// 10m0s", "panicked". It is empty for a normal end, with failed tests or without.
type ending string

// Exit statuses of a Go test binary. All others are not its own.
const (
	statusPassed = 0
	statusFailed = 1
	// statusPanic is also that of a bad flag and of SIGQUIT.
	statusPanic = 2
)

// record runs a test binary and gathers its results. Tests that were running
// when it came to a bad end are marked as failed.
func record(ctx context.Context, cmd *exec.Cmd, l limits, log io.Writer) (*recording, ending, error) {
	convert := exec.CommandContext(ctx, "go", "tool", "test2json", "-t")
	feed, err := convert.StdinPipe()
	if err != nil {
		return nil, "", fmt.Errorf("convert test output: %w", err)
	}
	events, err := convert.StdoutPipe()
	if err != nil {
		return nil, "", fmt.Errorf("convert test output: %w", err)
	}
	var complaints bytes.Buffer
	convert.Stderr = &complaints
	if err := convert.Start(); err != nil {
		return nil, "", fmt.Errorf("convert test output: %w", err)
	}
	type readResult struct {
		rec *recording
		err error
	}
	read := make(chan readResult, 1)
	go func() {
		rec := newRecording()
		err := rec.read(events, log)
		_, _ = io.Copy(io.Discard, events) // so that the converter can end
		read <- readResult{rec, err}
	}()

	how, err := supervise(ctx, cmd, l, feed)
	feed.Close()
	got := <-read
	if werr := convert.Wait(); werr != nil && err == nil {
		err = fmt.Errorf("go tool test2json: %w: %s", werr, complaints.String())
	}
	if err := errors.Join(ctx.Err(), err, got.err); err != nil {
		return nil, "", err
	}
	if how == "" && len(got.rec.running) > 0 {
		how = "ended before its tests did"
	}
	got.rec.interrupt(how)
	return got.rec, how, nil
}

// watched notes when something was last written.
type watched struct {
	io.Writer
	last atomic.Int64
}

func (w *watched) Write(p []byte) (int, error) {
	w.last.Store(time.Now().UnixNano())
	return w.Writer.Write(p)
}

func (w *watched) silence() time.Duration {
	return time.Since(time.Unix(0, w.last.Load()))
}

// supervise runs cmd, with all its output to out, and ends it when it exceeds a
// limit.
func supervise(ctx context.Context, cmd *exec.Cmd, l limits, out io.Writer) (ending, error) {
	w := &watched{Writer: out}
	w.last.Store(time.Now().UnixNano())
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start test binary: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()

	begun := time.Now()
	tick := time.NewTicker(min(time.Second, l.silence/4+time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return describe(err)
		case <-ctx.Done():
			<-done //nolint:errcheck // killed by the context
			return "", ctx.Err()
		case <-tick.C:
		}
		var how ending
		switch {
		case time.Since(begun) > l.whole:
			how = ending(fmt.Sprintf("timed out after %v", l.whole))
		case w.silence() > l.silence:
			how = ending(fmt.Sprintf("hung: it printed nothing for %v", l.silence))
		default:
			continue
		}
		return how, putDown(cmd.Process, done, l.dying)
	}
}

// putDown ends a process, with a chance to say what it was doing.
func putDown(p *os.Process, done <-chan error, patience time.Duration) error {
	if err := p.Signal(unix.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end test binary: %w", err)
	}
	select {
	case <-done: //nolint:errcheck // killed
		return nil
	case <-time.After(patience):
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end test binary: %w", err)
	}
	<-done //nolint:errcheck // killed
	return nil
}

// describe tells a bad end from a normal one.
func describe(err error) (ending, error) {
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		// Daemons that a test left running may keep the output open.
		return "", nil
	case !errors.As(err, &exit):
		return "", fmt.Errorf("run test binary: %w", err)
	}
	switch status := exit.ExitCode(); {
	case status == statusPassed, status == statusFailed:
		return "", nil
	case status == statusPanic:
		return "panicked", nil
	case status > 128:
		return ending("was killed by " + unix.SignalName(unix.Signal(status-128))), nil
	case status < 0:
		return ending("ended with " + exit.String()), nil
	default:
		return ending(fmt.Sprintf("ended with exit status %d", status)), nil
	}
}
