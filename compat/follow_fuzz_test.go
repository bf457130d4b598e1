package compat_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// choices are the fuzzer's bytes, of which each decides one thing.
type choices []byte

// of returns a number below n; 0 when there are no more.
func (c *choices) of(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

// config makes a configuration. Values begin with who, names in a set too if it
// is the user: what a user asks for that the image has already cannot be told
// from what is the image's.
func (c *choices) config(who string) *moby.ContainerConfig {
	value := func() string { return who + string(rune('a'+c.of(3))) }
	maybe := func() string {
		if c.of(2) == 0 {
			return ""
		}
		return value()
	}
	list := func() (l []string) {
		for range c.of(3) {
			l = append(l, value())
		}
		return l
	}
	cfg := &moby.ContainerConfig{
		User: maybe(), StopSignal: maybe(), Cmd: list(), Entrypoint: list(),
		Volumes: map[string]struct{}{}, Labels: map[string]string{},
	}
	if dir := maybe(); dir != "" {
		cfg.WorkingDir = "/" + dir
	}
	for range c.of(4) {
		cfg.Env = append(cfg.Env, string(rune('A'+len(cfg.Env)))+"="+value())
	}
	for range c.of(4) {
		cfg.Labels[string(rune('a'+c.of(4)))] = value()
	}
	set := strings.TrimPrefix(strings.TrimPrefix(who, "old"), "new")
	ports := map[string]struct{}{}
	for range c.of(3) {
		ports[fmt.Sprintf("%d/tcp", len(set)*1000+80+c.of(3))] = struct{}{}
		cfg.Volumes["/"+set+string(rune('a'+c.of(3)))] = struct{}{}
	}
	cfg.ExposedPorts = moby.PortsOf(ports)
	if c.of(3) == 0 {
		cfg.Healthcheck = &moby.HealthConfig{Test: []string{"CMD", value()}, Interval: time.Second, Timeout: time.Second, StartPeriod: time.Second, StartInterval: time.Second, Retries: 1 + c.of(3)}
	}
	return cfg
}

// created is what Docker makes of what a user asks for and an image has (merge in
// daemon/commit.go of Moby 28.5), for what config makes.
func created(user, image *moby.ContainerConfig) *moby.ContainerConfig {
	c := *user
	or := func(own, from string) string {
		if own != "" {
			return own
		}
		return from
	}
	c.User, c.WorkingDir, c.StopSignal = or(c.User, image.User), or(c.WorkingDir, image.WorkingDir), or(c.StopSignal, image.StopSignal)
	if len(user.Entrypoint) == 0 {
		if len(user.Cmd) == 0 {
			c.Cmd = image.Cmd
		}
		c.Entrypoint = image.Entrypoint
	}
	if c.Healthcheck == nil {
		c.Healthcheck = image.Healthcheck
	}
	c.Env = slices.Clone(user.Env)
	for _, v := range image.Env {
		name, _, _ := strings.Cut(v, "=")
		if !slices.ContainsFunc(user.Env, func(own string) bool { return strings.HasPrefix(own, name+"=") }) {
			c.Env = append(c.Env, v)
		}
	}
	c.Labels, c.Volumes = maps.Clone(image.Labels), maps.Clone(image.Volumes)
	maps.Copy(c.Labels, user.Labels)
	ports := map[string]struct{}{}
	maps.Copy(ports, moby.PortNames(image.ExposedPorts))
	maps.Copy(ports, moby.PortNames(user.ExposedPorts))
	c.ExposedPorts = moby.PortsOf(ports)
	maps.Copy(c.Volumes, user.Volumes)
	return &c
}

// sorted is a configuration as text, by which two can be compared. The order of
// variables is that of their names: a new image's come last in one that follows.
func sorted(t *testing.T, c *moby.ContainerConfig) string {
	t.Helper()
	sorted := *c
	sorted.Env = slices.Sorted(slices.Values(c.Env))
	return asJSON(t, sorted)
}

// FuzzFollow: a container that follows from one image to another has the
// configuration with which it would have been created on the other one.
func FuzzFollow(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("follow the white whale, and the squid, and what they leave"))
	for i := range byte(16) {
		seed := make([]byte, 120)
		for j := range seed {
			seed[j] = byte(j)*(2*i+1) ^ i<<2
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := choices(data)
		user, from, to := c.config("user"), c.config("old"), c.config("new")
		// What both images have alike is told by the same values.
		if c.of(2) == 0 {
			to.Labels, to.Env, to.Cmd = maps.Clone(from.Labels), slices.Clone(from.Env), slices.Clone(from.Cmd)
		}
		own, want := created(user, from), created(user, to)
		before := asJSON(t, own) + asJSON(t, from) + asJSON(t, to)
		got, changes := compat.Follow(own, from, to, nil)
		if sorted(t, got) != sorted(t, want) {
			t.Errorf("the user's  %s\nfrom        %s\nto          %s\nis          %s\nwant        %s", asJSON(t, user), asJSON(t, from), asJSON(t, to), sorted(t, got), sorted(t, want))
		}
		if differs := sorted(t, own) != sorted(t, got); differs != slices.ContainsFunc(changes, changed) {
			t.Errorf("that it differs is %v, and the changes are %+v", differs, changes)
		}
		spoil(got)
		if asJSON(t, own)+asJSON(t, from)+asJSON(t, to) != before {
			t.Error("the result shares something with the arguments")
		}
	})
}

// FuzzFollowAnything takes configurations that no user and no image would have.
func FuzzFollowAnything(f *testing.F) {
	for _, texts := range [][3]string{
		{`{}`, `{}`, `{}`},
		{`{"Env":["A=1","A=2","","=","B"],"Labels":{"":""}}`, `{"Env":["A=1","B=","="]}`, `{"Env":["A","A=1","A=3"],"Labels":null}`},
		{`{"Cmd":[""],"Entrypoint":[]}`, `{"Cmd":null,"Entrypoint":null}`, `{"Cmd":["x"],"Entrypoint":[""]}`},
		{`{"ExposedPorts":{"x":{}},"Volumes":{"":{}}}`, `{"Volumes":{"":{}}}`, `{"ExposedPorts":{"80":{}}}`},
		{`{"Healthcheck":{"Test":["NONE"]},"WorkingDir":"//a/"}`, `{"Healthcheck":{},"WorkingDir":"/a"}`, `{"Healthcheck":null,"WorkingDir":".."}`},
		{`{"Shell":["sh"],"OnBuild":["RUN"],"User":"\u0000\n"}`, `{"Shell":["sh"]}`, `{"Shell":[],"OnBuild":["x"]}`},
	} {
		f.Add(texts[0], texts[1], texts[2])
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var own, from, to moby.ContainerConfig
		for text, to := range map[*string]*moby.ContainerConfig{&a: &own, &b: &from, &c: &to} {
			if len(*text) > 8<<10 || json.Unmarshal([]byte(*text), to) != nil {
				return
			}
		}
		before := asJSON(t, own) + asJSON(t, from) + asJSON(t, to)
		got, changes := compat.Follow(&own, &from, &to, nil)
		for _, c := range changes {
			if c.Field == "" || c.Old == c.New {
				t.Errorf("no change: %+v", c)
			}
		}
		again, more := compat.Follow(&own, &from, &to, nil)
		if asJSON(t, *got) != asJSON(t, *again) || !slices.Equal(changes, more) {
			t.Errorf("once it is %s, once %s", asJSON(t, *got), asJSON(t, *again))
		}
		stays, none := compat.Follow(got, &to, &to, nil)
		if sorted(t, stays) != sorted(t, got) || slices.ContainsFunc(none, changed) {
			t.Errorf("on the image that it has followed %s becomes %s, by %+v", asJSON(t, *got), asJSON(t, *stays), none)
		}
		spoil(got)
		if asJSON(t, own)+asJSON(t, from)+asJSON(t, to) != before {
			t.Error("the result shares something with the arguments")
		}
	})
}

func changed(c api.ConfigChange) bool { return !c.Kept }

// spoil overwrites all that a configuration refers to.
func spoil(c *moby.ContainerConfig) {
	for _, list := range [][]string{c.Env, c.Cmd, c.Entrypoint, c.Shell, c.OnBuild} {
		for i := range list {
			list[i] = "spoilt"
		}
	}
	for _, m := range []map[string]string{c.Labels} {
		for k := range m {
			m[k] = "spoilt"
		}
	}
	clear(c.ExposedPorts)
	clear(c.Volumes)
	if c.Healthcheck != nil {
		for i := range c.Healthcheck.Test {
			c.Healthcheck.Test[i] = "spoilt"
		}
		c.Healthcheck.Retries = -1
	}
}
