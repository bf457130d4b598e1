package revisions_test

import (
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
)

// upgradeKeepsNetworks: address, MAC address and alias in a network stay, and so does the
// user's environment, while that of the image follows. Lost where tools make containers
// anew: the MAC address in containrrr/watchtower#1941, the static address in
// Finsys/dockhand#249, the new image's environment in Finsys/dockhand#1061.
func upgradeKeepsNetworks(t *testing.T, e *harness.Env) {
	e.Must(t, "network", "create", "--subnet", "10.77.0.0/24", "own")
	start(t, e, "placed", "--stop-timeout=1", "--network", "own", "--ip", "10.77.0.77", "--mac-address", "02:42:0a:4d:00:99", "--network-alias", "service", "-e", "MINE=1", "app:1")
	check := func(when, image string) {
		t.Helper()
		got := e.Must(t, "exec", "placed", "sh", "-c", "cat /sys/class/net/eth0/address; ip -4 addr show eth0 | grep -o 'inet [0-9./]*'; nslookup service | grep -c 'Address: 10.77.0.77'; echo $MINE $VERSION")
		if want := "02:42:0a:4d:00:99\ninet 10.77.0.77/24\n1\n1 " + image; got != want {
			t.Errorf("%s it has\n%s\nwant\n%s", when, got, want)
		}
	}
	check("at first", "app:1")
	e.Upgrade(t, "placed", api.UpgradeRequest{Image: "app:2", HealthTimeout: 1})
	check("after the upgrade", "app:2")
	e.Rollback(t, "placed", api.RollbackRequest{Revision: 1})
	check("after the rollback", "app:1")
}
