package imageservice

import (
	"context"
	"encoding/json"
	"errors"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
)

// Asked is what a checkpoint asks for that reaches out of a container.
func Asked(c checkpoint.Container, plain *moby.HostConfig) ([]string, error) {
	r, err := readRestored(c)
	if err != nil {
		return nil, err
	}
	j := &judging{rules: rules}
	j.configuration(r, plain)
	return j.asked, nil
}

// Rule is a judgement on a field: Inner if its own fields have rules, Refused if it
// must be empty.
type Rule struct{ Inner, Refused bool }

// Rules are by the paths of the fields.
func Rules() map[string]Rule {
	all := map[string]Rule{}
	for path, r := range rules {
		all[path] = Rule{r.inner, r.refused}
	}
	return all
}

// AskedList is how a refusal lists what is asked for.
func AskedList(c checkpoint.Container) (string, error) {
	r, err := readRestored(c)
	if err != nil {
		return "", err
	}
	j := &judging{rules: rules}
	j.configuration(r, nil)
	return j.list(), nil
}

// WithoutDefaults and HiddenHere fit a configuration to another host.
var (
	WithoutDefaults = withoutDefaults
	HiddenHere      = hiddenHere
)

// CompletePull pulls from a registry, as [Service.PullComplete] does from containerd's
// client.
func CompletePull(from puller, store images.Store, complete func(context.Context, ocispec.Descriptor) error) func(context.Context, string, ...containerd.RemoteOpt) (containerd.Image, error) {
	return completePull{from, store, complete}.run
}

// Replaced is the configuration of a checkpoint, as the API has it, for a request that
// says some of it otherwise, and what of it needs trust.
func Replaced(c checkpoint.Container, request api.RestoreRequest) (config, host, networks string, asked, volumes []string, err error) {
	r, err := readRestored(c)
	if err != nil {
		return "", "", "", nil, nil, err
	}
	by := replacement{request}
	volumes = by.withdraw(&r, c.Volumes)
	j := &judging{rules: rules}
	j.configuration(r, nil)
	if err := by.apply(&r); err != nil {
		return "", "", "", nil, nil, err
	}
	text := func(v any) string {
		encoded, failure := json.Marshal(v)
		err = errors.Join(err, failure)
		return string(encoded)
	}
	return text(r.config), text(r.host), text(r.networks), j.asked, volumes, err
}
