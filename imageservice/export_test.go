package imageservice

import (
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
)

// Asked is what a checkpoint asks for that reaches out of a container.
func Asked(c containerstore.CheckpointContainer, plain *moby.HostConfig) ([]string, error) {
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
func AskedList(c containerstore.CheckpointContainer) (string, error) {
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
