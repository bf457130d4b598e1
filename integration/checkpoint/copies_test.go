package checkpoint_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestCopiesAndRounds makes several containers of one checkpoint with processes, and
// checkpoints of what was restored.
func TestCopiesAndRounds(t *testing.T) {
	harness.NeedCRIU(t)
	e := harness.Start(t, stack.Config{}, "busybox")
	t.Run("copies at once", func(t *testing.T) { copiesAtOnce(t, e) })
	t.Run("rounds", func(t *testing.T) { roundsOfChanges(t, e, "processes") })
}

// copiesAtOnce: copies of a container with an address and a MAC address of its own run at
// the same time on its network, and all of them answer.
// podman#3690: a checkpoint could be restored once only, since each copy asked for the
// static address.
func copiesAtOnce(t *testing.T, e *harness.Env) {
	const mac = "02:42:0a:4d:00:99"
	e.Must(t, "network", "create", "--subnet", "172.30.0.0/24", "front")
	original := e.RunCounter(t, "web", "--network", "front", "--ip", "172.30.0.7", "--mac-address", mac)
	kept := e.Counted(t, original)
	e.Must(t, "baleen", "checkpoint", "--leave-running", "web", "web:1")
	for options, warns := range map[string]bool{"": true, "--ip 172.30.0.13": false, "--network front": false} {
		out := e.Must(t, append([]string{"baleen", "restore", "--create-only", "--name", "created"}, append(strings.Fields(options), "web:1")...)...)
		if strings.Contains(out, "WARNING: the MAC address stays: "+mac+" on network front; ") != warns {
			t.Errorf("with options %q restore prints\n%s", options, out)
		}
		e.Must(t, "rm", "created")
	}
	all, addresses := []string{original}, map[string]string{original: "172.30.0.7"}
	for options, address := range map[string]string{
		"--name both --network front --ip 172.30.0.11": "172.30.0.11",
		"--name address --ip 172.30.0.12":              "172.30.0.12",
		"--name network --network front":               "",
	} {
		copied := e.Restore(t, "web:1", strings.Fields(options)...)
		all, addresses[copied] = append(all, copied), address
	}
	macs := map[string]string{}
	for _, id := range all {
		e.CountsPast(t, id, kept)
		name := e.Inspect(t, id, "{{.Name}}")
		address, hardware, _ := strings.Cut(e.Inspect(t, id, "{{with .NetworkSettings.Networks.front}}{{.IPAddress}} {{.MacAddress}}{{end}}"), " ")
		if addresses[id] != "" && address != addresses[id] {
			t.Errorf("%s has the address %s, want %s", name, address, addresses[id])
		}
		addresses[id] = address
		if inside := e.Must(t, "exec", id, "ip", "addr", "show", "eth0"); !strings.Contains(inside, "inet "+address+"/") || !strings.Contains(inside, "link/ether "+hardware) {
			t.Errorf("docker inspect says that %s has %s and %s, and inside it has\n%s", name, address, hardware, inside)
		}
		if other, taken := macs[hardware]; taken || (hardware == mac) != (id == original) {
			t.Errorf("%s has the MAC address %s, and so has %q", name, hardware, other)
		}
		macs[hardware] = name
		if got := e.Must(t, "exec", id, "hostname"); got != original[:12] {
			t.Errorf("%s calls itself %s, and the processes had the name %s", name, got, original[:12])
		}
	}
	for _, id := range all {
		for _, to := range all {
			if out, err := e.Try(t, "exec", id, "ping", "-c", "1", "-W", "5", addresses[to]); err != nil {
				t.Errorf("from %s to %s: %s", addresses[id], addresses[to], out)
			}
		}
	}
}
