package harness

import (
	"fmt"
	"testing"
)

// Consistent waits until docker baleen check finds nothing.
func (e *Env) Consistent(t *testing.T) {
	t.Helper()
	Eventually(t, "docker baleen check to find nothing", func() error { return e.Inconsistent(t) })
}

// Inconsistent returns what docker baleen check finds.
func (e *Env) Inconsistent(t *testing.T, options ...string) error {
	t.Helper()
	out, err := e.Try(t, append([]string{"baleen", "check"}, options...)...)
	if err != nil {
		return fmt.Errorf("docker baleen check: %w:\n%s", err, out)
	}
	return nil
}
