package userns_test

import (
	"testing"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/harness"
)

// stockMapsIDs skips a test that needs a stock daemon with userns-remap on the
// containerd store.
func stockMapsIDs(t *testing.T) {
	t.Helper()
	if l := harness.EngineLine(t); l == engine.V29 {
		t.Skipf("stock Moby %s refuses userns-remap on the containerd store", l)
	}
}
