package apply_test

import (
	"testing"

	"github.com/baleen-project/baleen/integration/soak/mountns"
)

// TestMain gives the tests a mount namespace, for the overlays that they mount.
func TestMain(m *testing.M) { mountns.Main(m.Run) }
