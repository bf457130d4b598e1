package settings

import (
	"encoding/json"
	"errors"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
)

// Asked is what a checkpoint asks for that reaches out of a container.
func Asked(c checkpoint.Container, plain *moby.HostConfig) ([]string, error) {
	r, err := Read(c)
	if err != nil {
		return nil, err
	}
	return r.Asked(plain), nil
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

// WithoutDefaults and HiddenHere fit a configuration to another host.
var (
	WithoutDefaults = withoutDefaults
	HiddenHere      = hiddenHere
)

// Replaced is the configuration of a checkpoint, as the API has it, for a request that
// says some of it otherwise, and what of it needs trust.
func Replaced(c checkpoint.Container, request api.RestoreRequest) (config, host, networks string, asked, volumes []string, err error) {
	r, err := Read(c)
	if err != nil {
		return "", "", "", nil, nil, err
	}
	by := Replacement{request}
	volumes = by.Withdraw(&r, c.Volumes)
	asked = r.Asked(nil)
	if err := by.Apply(&r); err != nil {
		return "", "", "", nil, nil, err
	}
	text := func(v any) string {
		encoded, failure := json.Marshal(v)
		err = errors.Join(err, failure)
		return string(encoded)
	}
	return text(r.Config), text(r.Host), text(r.Networks), asked, volumes, err
}
