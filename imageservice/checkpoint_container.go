package imageservice

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
)

// describe tells what a container was created with.
func (s *Service) describe(ctr *moby.Container, o CheckpointOptions, now time.Time) (c checkpoint.Container, err error) {
	ctr.Lock()
	defer ctr.Unlock()
	c = checkpoint.Container{
		ID: ctr.ID, Name: strings.TrimPrefix(ctr.Name, "/"), Created: now.UTC(), Image: ctr.Config.Image,
		ImageID: digest.Digest(ctr.ImageID), Manifest: ctr.ImageManifest, Platform: ctr.ImagePlatform,
		Volumes: slices.Sorted(maps.Keys(ctr.MountPoints)),
	}
	host := *ctr.HostConfig
	host.ContainerIDFile = ""
	if o.Plain != nil && o.Dump == nil {
		withoutDefaults(&host, o.Plain)
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

// pathsOfCPUs are those of the system that Moby hides besides, for each CPU that has
// them.
const pathsOfCPUs = "/sys/devices/system/cpu/cpu*/thermal_throttle"

// hiddenHere is a list of hidden paths of a checkpoint as this host needs it, whose
// own is byDefault: if it is the list of another one it lacks nothing but paths of
// CPUs.
func hiddenHere(paths, byDefault []string) []string {
	var more []string
	for _, p := range byDefault {
		if slices.Contains(paths, p) {
			continue
		}
		if ofCPU, err := path.Match(pathsOfCPUs, p); err != nil || !ofCPU {
			return paths
		}
		more = append(more, p)
	}
	return slices.Concat(paths, more)
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

// restored is what a container is to be created with.
type restored struct {
	config   *moby.ContainerConfig
	host     *moby.HostConfig
	networks map[string]*moby.EndpointSettings
}

func readRestored(c checkpoint.Container) (r restored, err error) {
	for _, part := range []struct {
		name string
		from json.RawMessage
		into any
	}{{"config", c.Config, &r.config}, {"hostConfig", c.HostConfig, &r.host}, {"networks", c.Networks, &r.networks}} {
		err := json.Unmarshal(part.from, part.into)
		if err == nil {
			err = withoutNull(reflect.ValueOf(part.into))
		}
		if err != nil {
			return r, fmt.Errorf("decode the container's configuration, %s: %w: %w", part.name, err, errdefs.ErrInvalidArgument)
		}
	}
	if r.config == nil || r.host == nil {
		return r, fmt.Errorf("the container's configuration is empty: %w", checkpoint.ErrNotCheckpoint)
	}
	return r, nil
}

// withoutNull refuses null for an element of a list, or for a structure of a map:
// Docker's command sends none, and Moby does not look for them.
func withoutNull(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return withoutNull(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if !field.IsExported() { // not of the JSON, like what an address consists of
				continue
			}
			if err := withoutNull(v.Field(i)); err != nil {
				return inField(field.Name, err)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if isNull(v.Index(i), reflect.Pointer, reflect.Slice, reflect.Map) {
				return fmt.Errorf("element %d of a list is null", i)
			}
			if err := withoutNull(v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			if isNull(value, reflect.Pointer) {
				return fmt.Errorf("%.100q is null", fmt.Sprint(key.Interface()))
			}
			if err := withoutNull(value); err != nil {
				return err
			}
		}
	}
	return nil
}

func isNull(v reflect.Value, kinds ...reflect.Kind) bool {
	return slices.Contains(kinds, v.Kind()) && v.IsNil()
}

// inField says where an error was found: in the innermost field.
func inField(name string, err error) error {
	var in fieldError
	if errors.As(err, &in) {
		return err
	}
	return fieldError{name, err}
}

type fieldError struct {
	name string
	err  error
}

func (e fieldError) Error() string { return e.name + ": " + e.err.Error() }
func (e fieldError) Unwrap() error { return e.err }
