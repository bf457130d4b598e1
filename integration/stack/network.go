package stack

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// The stack's default route, which dockerd and Moby's suites look for, leads
// through a pair of interfaces that both are in the stack, so to nowhere. Every
// kernel that runs Docker has such pairs; not every one has dummy interfaces. The
// network is one that is set aside for testing devices (RFC 2544), so that none
// of Docker's own pools meet it.
const (
	outside        = "baleen0"
	outsidePeer    = "baleen1"
	outsideAddress = "198.18.0.2/24"
	outsideGateway = "198.18.0.1"
)

func setUpNetwork() error {
	if err := setUpLink("lo"); err != nil {
		return err
	}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: outside}, PeerName: outsidePeer}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("make interface %s: %w", outside, err)
	}
	address, err := netlink.ParseAddr(outsideAddress)
	if err != nil {
		return fmt.Errorf("parse address %s: %w", outsideAddress, err)
	}
	if err := netlink.AddrAdd(pair, address); err != nil {
		return fmt.Errorf("give %s address %s: %w", outside, address, err)
	}
	for _, name := range []string{outsidePeer, outside} {
		if err := setUpLink(name); err != nil {
			return err
		}
	}
	route := &netlink.Route{LinkIndex: pair.Attrs().Index, Gw: net.ParseIP(outsideGateway)}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("add default route: %w", err)
	}
	return nil
}

func setUpLink(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	return nil
}
