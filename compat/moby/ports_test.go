package moby_test

import (
	"maps"
	"testing"

	"github.com/baleen-project/baleen/compat/moby"
)

func TestPortNames(t *testing.T) {
	names := map[string]struct{}{"80/tcp": {}, "53/udp": {}, "9000/sctp": {}}
	ports := moby.PortsOf(names)
	if len(ports) != len(names) {
		t.Errorf("%d ports of %d names", len(ports), len(names))
	}
	if back := moby.PortNames(ports); !maps.Equal(back, names) {
		t.Errorf("names of the ports of %v: %v", names, back)
	}
	if moby.PortsOf(map[string]struct{}{}) != nil || moby.PortNames(moby.PortSet{}) != nil {
		t.Error("no ports are not nil")
	}
}
