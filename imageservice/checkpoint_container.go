package imageservice

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	containertypes "github.com/docker/docker/api/types/container"
	networktypes "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/container"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/containerstore"
)

// describe tells what a container was created with.
func (s *Service) describe(ctr *container.Container, now time.Time) (c containerstore.CheckpointContainer, err error) {
	ctr.Lock()
	defer ctr.Unlock()
	c = containerstore.CheckpointContainer{
		ID: ctr.ID, Name: strings.TrimPrefix(ctr.Name, "/"), Created: now.UTC(), Image: ctr.Config.Image,
		ImageID: digest.Digest(ctr.ImageID), Manifest: ctr.ImageManifest, Platform: ctr.ImagePlatform,
		Volumes: slices.Sorted(maps.Keys(ctr.MountPoints)),
	}
	host := *ctr.HostConfig
	host.ContainerIDFile = ""
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

// endpoints are the networks that a container was connected to, as it was asked
// for, without what the daemon has chosen.
func endpoints(ctr *container.Container) map[string]*networktypes.EndpointSettings {
	wanted := map[string]*networktypes.EndpointSettings{}
	if ctr.NetworkSettings == nil {
		return wanted
	}
	for name, e := range ctr.NetworkSettings.Networks {
		if e == nil || e.EndpointSettings == nil {
			wanted[name] = &networktypes.EndpointSettings{}
			continue
		}
		of := &networktypes.EndpointSettings{
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

// restored is what a container is to be created with.
type restored struct {
	config   *containertypes.Config
	host     *containertypes.HostConfig
	networks map[string]*networktypes.EndpointSettings
}

func readRestored(c containerstore.CheckpointContainer) (r restored, err error) {
	for _, part := range []struct {
		from json.RawMessage
		into any
	}{{c.Config, &r.config}, {c.HostConfig, &r.host}, {c.Networks, &r.networks}} {
		if err := json.Unmarshal(part.from, part.into); err != nil {
			return r, fmt.Errorf("decode the container's configuration: %w", err)
		}
	}
	if r.config == nil || r.host == nil {
		return r, fmt.Errorf("the container's configuration is empty: %w", containerstore.ErrNotCheckpoint)
	}
	return r, nil
}
