package settings

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// Replacement is what a request for a restore says otherwise than the checkpoint does, so
// that the new container can live beside the one that was checkpointed.
type Replacement struct{ api.RestoreRequest }

// Withdraw takes out of a configuration what the request says otherwise: it needs no trust
// then. It returns those of the paths of volumes that the request says nothing about.
func (by Replacement) Withdraw(c *Configuration, volumes []string) []string {
	if len(by.Publish) > 0 || by.Unpublished {
		c.Host.PortBindings, c.Host.PublishAllPorts = nil, false
	}
	if by.Network != "" {
		c.Host.NetworkMode, c.Networks = "", nil
	}
	if by.IP != "" {
		for _, network := range c.Networks {
			if network != nil {
				network.IPAMConfig = nil
				empty(&network.MacAddress)
			}
		}
	}
	// With one MAC address for two containers a network loses frames of both.
	if by.Network != "" || by.IP != "" {
		_ = by.set(c.Config, "MacAddress", "") // a text, if there is this field
	}
	for _, volume := range by.Volumes {
		path := mountPath(volume)
		c.Host.Binds = slices.DeleteFunc(c.Host.Binds, func(bind string) bool { return mountPath(bind) == path })
		keep := c.Host.Mounts[:0]
		for _, m := range c.Host.Mounts {
			if filepath.Clean(m.Target) != path {
				keep = append(keep, m)
			}
		}
		c.Host.Mounts = keep
		isPath := func(of string) bool { return filepath.Clean(of) == path }
		maps.DeleteFunc(c.Config.Volumes, func(of string, _ struct{}) bool { return isPath(of) })
		maps.DeleteFunc(c.Host.Tmpfs, func(of, _ string) bool { return isPath(of) })
		volumes = slices.DeleteFunc(slices.Clone(volumes), isPath)
	}
	return volumes
}

// KeptMACs says on which networks a configuration asks for a MAC address, by their names.
func (c Configuration) KeptMACs() (kept []string) {
	for _, name := range slices.Sorted(maps.Keys(c.Networks)) {
		if network := c.Networks[name]; network != nil && len(network.MacAddress) > 0 {
			kept = append(kept, fmt.Sprintf("%s on network %s", Shorten(fmt.Sprint(network.MacAddress)), Shorten(name)))
		}
	}
	return kept
}

// empty empties a field whose type differs between the engine lines.
func empty[T any](field *T) { *field = *new(T) }

// CheckProcesses returns an error if the request replaces what processes keep that go on
// from a checkpoint: their host name, where something is mounted for them, and whether they
// have a network namespace of their own. CRIU mounts what they had, and nothing else, and
// makes the namespace that they had, whatever the container is created with. volumes are
// the paths of all that was mounted. c is as the checkpoint has it.
func (by Replacement) CheckProcesses(c Configuration, volumes []string) error {
	if by.Hostname != "" {
		return fmt.Errorf("another host name (--hostname): the processes in the checkpoint have theirs: %w", errdefs.ErrNotImplemented)
	}
	had := namespaceOf(c.Host.NetworkMode)
	if by.Network != "" && namespaceOf(moby.NetworkMode(by.Network)) != had {
		return fmt.Errorf("network %s (--network): %s: %w", by.Network, networkRules[had], errdefs.ErrNotImplemented)
	}
	for _, volume := range by.Volumes {
		path := mountPath(volume)
		inMemory := slices.ContainsFunc(c.Host.Mounts, func(m moby.Mount) bool {
			return m.Type == moby.MountTypeTmpfs && filepath.Clean(m.Target) == path
		})
		if inMemory || !slices.ContainsFunc(volumes, func(of string) bool { return filepath.Clean(of) == path }) {
			return fmt.Errorf("volume %s (--volume): the processes in the checkpoint have no volume at %s: %w", volume, path, errdefs.ErrNotImplemented)
		}
	}
	return nil
}

// networkNamespace says whose network namespace a container has.
type networkNamespace int

const (
	ownNetwork networkNamespace = iota
	hostNetwork
	othersNetwork // another container's
)

func namespaceOf(mode moby.NetworkMode) networkNamespace {
	switch {
	case mode.IsHost():
		return hostNetwork
	case mode.IsContainer():
		return othersNetwork
	}
	return ownNetwork
}

// networkRules say what --network can be for processes that had a network namespace.
var networkRules = map[networkNamespace]string{
	ownNetwork:    "the processes in the checkpoint had a network namespace of their own, and cannot have that of the host or of another container",
	hostNetwork:   "the processes in the checkpoint had the network of the host, and can have no other",
	othersNetwork: "the processes in the checkpoint shared the network of another container, and can have only that of a container: --network container:NAME",
}

// mountPath is the path in the container of a volume as docker run takes it:
// SOURCE:PATH[:OPTIONS], or PATH alone.
func mountPath(volume string) string {
	parts := strings.Split(volume, ":")
	return filepath.Clean(parts[min(1, len(parts)-1)])
}

// Apply puts in what the request says.
func (by Replacement) Apply(c *Configuration) error {
	if by.Hostname != "" {
		c.Config.Hostname = by.Hostname
	}
	c.Host.Binds = append(c.Host.Binds, by.Volumes...)
	if err := by.publish(c); err != nil {
		return err
	}
	if by.Network != "" {
		c.Host.NetworkMode = moby.NetworkMode(by.Network)
		if mode := c.Host.NetworkMode; mode.IsHost() || mode.IsNone() || mode.IsContainer() {
			if by.IP != "" {
				return fmt.Errorf("an IP address (--ip) on network %s: %w", by.Network, errdefs.ErrInvalidArgument)
			}
			return nil
		}
		c.Networks = map[string]*moby.EndpointSettings{by.Network: {}}
	}
	return by.address(c)
}

// publish publishes ports. The JSON of Docker's API is the same for both engine lines, and
// their types are not.
func (by Replacement) publish(c *Configuration) error {
	type binding struct {
		HostIP   string `json:"HostIp"`
		HostPort string
	}
	ports, exposed := map[string][]binding{}, map[string]struct{}{}
	for _, p := range by.Publish {
		ports[p.Port] = append(ports[p.Port], binding{p.HostIP, p.HostPort})
		exposed[p.Port] = struct{}{}
	}
	if len(ports) == 0 {
		return nil
	}
	if err := by.set(c.Host, "PortBindings", ports); err != nil {
		return err
	}
	return by.set(c.Config, "ExposedPorts", exposed)
}

// address gives the container an address on its network.
func (by Replacement) address(c *Configuration) error {
	if by.IP == "" {
		return nil
	}
	if len(c.Networks) != 1 {
		return fmt.Errorf("an IP address (--ip) for a container on %d networks: choose one with --network: %w", len(c.Networks), errdefs.ErrInvalidArgument)
	}
	family := "IPv4Address"
	if strings.Contains(by.IP, ":") {
		family = "IPv6Address"
	}
	for name, network := range c.Networks {
		if network == nil {
			network = &moby.EndpointSettings{}
			c.Networks[name] = network
		}
		if err := by.set(network, "IPAMConfig", map[string]string{family: by.IP}); err != nil {
			return err
		}
	}
	return nil
}

// set sets a field of one of Docker's structures by its JSON.
func (Replacement) set(of any, field string, value any) error {
	text, err := json.Marshal(map[string]any{field: value})
	if err == nil {
		err = json.Unmarshal(text, of)
	}
	if err != nil {
		return fmt.Errorf("set %s: %w: %w", field, err, errdefs.ErrInvalidArgument)
	}
	return nil
}
