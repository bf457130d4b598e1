package settings

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
)

// Describe returns what a container was created with, as of now. With plain, what the
// daemon gives to a container of which nothing is asked is left out.
func Describe(ctr *moby.Container, plain *moby.HostConfig, now time.Time) (c checkpoint.Container, err error) {
	ctr.Lock()
	defer ctr.Unlock()
	c = checkpoint.Container{
		ID: ctr.ID, Name: strings.TrimPrefix(ctr.Name, "/"), Created: now.UTC(), Image: ctr.Config.Image,
		ImageID: digest.Digest(ctr.ImageID), Manifest: ctr.ImageManifest, Platform: ctr.ImagePlatform,
		Volumes: slices.Sorted(maps.Keys(ctr.MountPoints)),
	}
	host := *ctr.HostConfig
	host.ContainerIDFile = ""
	if plain != nil {
		withoutDefaults(&host, plain)
	}
	for _, part := range []struct {
		into *json.RawMessage
		from any
	}{{&c.Config, ctr.Config}, {&c.HostConfig, host}, {&c.Networks, endpoints(ctr)}} {
		if *part.into, err = json.Marshal(part.from); err != nil {
			return c, fmt.Errorf("encode the container's configuration: %w", err)
		}
	}
	return c, nil
}

// withoutDefaults leaves out what nobody has asked for. Another daemon has other
// defaults, and would refuse these as asked for: the host's control groups are the
// default of version 1, and not of version 2; paths of each CPU are hidden, where
// there are such. Processes go on where they were, and keep all.
func withoutDefaults(host, plain *moby.HostConfig) {
	hidden := moby.DefaultLinuxSpec().Linux
	dropIfSame(&host.Runtime, plain.Runtime)
	dropIfSame(&host.CgroupnsMode, plain.CgroupnsMode)
	dropIfSame(&host.LogConfig, plain.LogConfig)
	dropIfSame(&host.MaskedPaths, hidden.MaskedPaths)
	dropIfSame(&host.ReadonlyPaths, hidden.ReadonlyPaths)
}

func dropIfSame[T any](value *T, byDefault T) {
	if reflect.DeepEqual(*value, byDefault) {
		var none T
		*value = none
	}
}

// endpoints are the networks that a container was connected to, as it was asked
// for, without what the daemon has chosen.
func endpoints(ctr *moby.Container) map[string]*moby.EndpointSettings {
	wanted := map[string]*moby.EndpointSettings{}
	if ctr.NetworkSettings == nil {
		return wanted
	}
	for name, e := range ctr.NetworkSettings.Networks {
		if e == nil || e.EndpointSettings == nil {
			wanted[name] = &moby.EndpointSettings{}
			continue
		}
		of := &moby.EndpointSettings{
			Links: e.Links, Aliases: e.Aliases, DriverOpts: e.DriverOpts,
			GwPriority: e.GwPriority, MacAddress: e.DesiredMacAddress,
		}
		if !e.IPAMOperational {
			of.IPAMConfig = e.IPAMConfig
		}
		wanted[name] = of
	}
	return wanted
}
