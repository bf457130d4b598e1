package imageservice

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

// replacement is what whoever restores a container says otherwise
// than the checkpoint does, so that it can live beside the container that was checkpointed.
type replacement struct{ api.RestoreRequest }

// withdraw takes out of a checkpoint's configuration what is said otherwise. It needs no
// trust then.
func (by replacement) withdraw(c *restored, volumes []string) []string {
	if len(by.Publish) > 0 || by.Unpublished {
		c.host.PortBindings, c.host.PublishAllPorts = nil, false
	}
	if by.Network != "" {
		c.host.NetworkMode, c.networks = "", nil
		_ = by.set(c.config, "MacAddress", "") // a text is what it takes
	}
	if by.IP != "" {
		for _, network := range c.networks {
			if network != nil {
				network.IPAMConfig = nil
			}
		}
	}
	for _, volume := range by.Volumes {
		path := mountPath(volume)
		c.host.Binds = slices.DeleteFunc(c.host.Binds, func(bind string) bool { return mountPath(bind) == path })
		keep := c.host.Mounts[:0]
		for _, m := range c.host.Mounts {
			if filepath.Clean(m.Target) != path {
				keep = append(keep, m)
			}
		}
		c.host.Mounts = keep
		isPath := func(of string) bool { return filepath.Clean(of) == path }
		maps.DeleteFunc(c.config.Volumes, func(of string, _ struct{}) bool { return isPath(of) })
		maps.DeleteFunc(c.host.Tmpfs, func(of, _ string) bool { return isPath(of) })
		volumes = slices.DeleteFunc(slices.Clone(volumes), isPath)
	}
	return volumes
}

// mountPath is the path in the container of a volume as docker run takes it:
// SOURCE:PATH[:OPTIONS], or PATH alone.
func mountPath(volume string) string {
	parts := strings.Split(volume, ":")
	return filepath.Clean(parts[min(1, len(parts)-1)])
}

// apply puts in what is said otherwise.
func (by replacement) apply(c *restored) error {
	if by.Hostname != "" {
		c.config.Hostname = by.Hostname
	}
	c.host.Binds = append(c.host.Binds, by.Volumes...)
	if err := by.publish(c); err != nil {
		return err
	}
	if by.Network != "" {
		c.host.NetworkMode = moby.NetworkMode(by.Network)
		if mode := c.host.NetworkMode; mode.IsHost() || mode.IsNone() || mode.IsContainer() {
			if by.IP != "" {
				return fmt.Errorf("an IP address (--ip) on network %s: %w", by.Network, errdefs.ErrInvalidArgument)
			}
			return nil
		}
		c.networks = map[string]*moby.EndpointSettings{by.Network: {}}
	}
	return by.address(c)
}

// publish publishes ports. The JSON of Docker's API is the same for both engine lines, and
// their types are not.
func (by replacement) publish(c *restored) error {
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
	if err := by.set(c.host, "PortBindings", ports); err != nil {
		return err
	}
	return by.set(c.config, "ExposedPorts", exposed)
}

// address gives the container an address on its network.
func (by replacement) address(c *restored) error {
	if by.IP == "" {
		return nil
	}
	if len(c.networks) != 1 {
		return fmt.Errorf("an IP address (--ip) for a container on %d networks: choose one with --network: %w", len(c.networks), errdefs.ErrInvalidArgument)
	}
	family := "IPv4Address"
	if strings.Contains(by.IP, ":") {
		family = "IPv6Address"
	}
	for name, network := range c.networks {
		if network == nil {
			network = &moby.EndpointSettings{}
			c.networks[name] = network
		}
		if err := by.set(network, "IPAMConfig", map[string]string{family: by.IP}); err != nil {
			return err
		}
	}
	return nil
}

// set sets a field of one of Docker's structures by its JSON.
func (replacement) set(of any, field string, value any) error {
	text, err := json.Marshal(map[string]any{field: value})
	if err == nil {
		err = json.Unmarshal(text, of)
	}
	if err != nil {
		return fmt.Errorf("set %s: %w: %w", field, err, errdefs.ErrInvalidArgument)
	}
	return nil
}
