package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
)

// Configuration is what a container is to be created with.
type Configuration struct {
	Config   *moby.ContainerConfig
	Host     *moby.HostConfig
	Networks map[string]*moby.EndpointSettings // by name
}

// Read decodes what [Describe] has written, or somebody else. A null that Moby does not
// look for is errdefs.ErrInvalidArgument.
func Read(c checkpoint.Container) (r Configuration, err error) {
	for _, part := range []struct {
		name string
		from json.RawMessage
		into any
	}{{"config", c.Config, &r.Config}, {"hostConfig", c.HostConfig, &r.Host}, {"networks", c.Networks, &r.Networks}} {
		err := json.Unmarshal(part.from, part.into)
		if err == nil {
			err = withoutNull(reflect.ValueOf(part.into))
		}
		if err != nil {
			return r, fmt.Errorf("decode the container's configuration, %s: %w: %w", part.name, err, errdefs.ErrInvalidArgument)
		}
	}
	if r.Config == nil || r.Host == nil {
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

// pathsOfCPUs are those of the system that Moby hides besides, for each CPU that has
// them.
const pathsOfCPUs = "/sys/devices/system/cpu/cpu*/thermal_throttle"

// HideHere has the paths of the system hidden that this host hides from containers
// besides.
func (c Configuration) HideHere() {
	c.Host.MaskedPaths = hiddenHere(c.Host.MaskedPaths, moby.DefaultLinuxSpec().Linux.MaskedPaths)
}

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
