package revisions_test

import (
	"testing"

	"github.com/baleen-project/baleen/integration/soak/mountns"
)

// TestMain gives the tests a mount namespace, for what some of them mount.
func TestMain(m *testing.M) { mountns.Main(m.Run) }
