package compat

import (
	"encoding/json"
	"path"
	"reflect"
	"slices"
	"strings"

	imagespec "github.com/moby/docker-image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// ContainerConfig is an image's part of the configuration of a container. It
// may share lists and maps with img.
func ContainerConfig(img imagespec.DockerOCIImageConfig) *moby.ContainerConfig {
	return &moby.ContainerConfig{
		User:         img.User,
		ExposedPorts: moby.PortsOf(img.ExposedPorts),
		Env:          img.Env,
		Cmd:          img.Cmd,
		Healthcheck:  img.Healthcheck,
		ArgsEscaped:  img.ArgsEscaped, //nolint:staticcheck // deprecated, but part of existing images
		Volumes:      img.Volumes,
		WorkingDir:   img.WorkingDir,
		Entrypoint:   img.Entrypoint,
		OnBuild:      img.OnBuild,
		Labels:       img.Labels,
		StopSignal:   img.StopSignal,
		Shell:        img.Shell,
	}
}

// Follow returns the configuration that a container has after it moved from an
// old image to a new one: as if it had been created on the new image with what
// its user had asked for. What that was is not kept, so it is told by the
// difference: what is as in the old image follows the new one, what is not
// stays. Environment, labels, ports and volumes do so by name, all else as a
// whole. Ports that the user has published are the user's: the engine publishes
// none that is not exposed. So are the labels that Docker Compose writes, also if the image
// has them because it was committed from a container of a project.
//
// As in Docker, a user's entrypoint does away with the image's command. Shell
// and OnBuild, which no container gets from its image, follow only where they
// are there.
//
// The result shares nothing with the arguments. The changes tell all that
// differs, and what the new image would have changed and the user's choice
// prevails over.
func Follow(c, from, to *moby.ContainerConfig, published moby.PortSet) (*moby.ContainerConfig, []api.ConfigChange) {
	f := &following{}
	next := *c
	next.User = f.text("User", c.User, from.User, to.User)
	next.WorkingDir = f.directory(c.WorkingDir, from.WorkingDir, to.WorkingDir)
	f.command(&next, c, from, to)
	if f.stays(c.Healthcheck, from.Healthcheck) {
		f.kept("Healthcheck", c.Healthcheck, from.Healthcheck, to.Healthcheck)
	} else {
		next.Healthcheck = to.Healthcheck
		f.changed("Healthcheck", c.Healthcheck, to.Healthcheck)
	}
	next.Healthcheck = cloneHealthcheck(next.Healthcheck)
	next.StopSignal = f.text("StopSignal", c.StopSignal, from.StopSignal, to.StopSignal)
	next.Env = f.env(c.Env, from.Env, to.Env)
	next.Labels = follow(f, "Labels", c.Labels, withoutCompose(from.Labels), withoutCompose(to.Labels))
	next.ExposedPorts = f.ports(c.ExposedPorts, from.ExposedPorts, to.ExposedPorts, published)
	next.Volumes = follow(f, "Volumes", c.Volumes, from.Volumes, to.Volumes)
	next.Shell = f.given("Shell", c.Shell, from.Shell, to.Shell)
	next.OnBuild = f.given("OnBuild", c.OnBuild, from.OnBuild, to.OnBuild)
	return &next, f.changes
}

// following gathers what changes.
type following struct{ changes []api.ConfigChange }

// stays reports whether a container has something else than its image.
func (f *following) stays(own, from any) bool { return tell(own) != tell(from) }

func (f *following) changed(field string, from, to any) {
	if a, b := tell(from), tell(to); a != b {
		f.changes = append(f.changes, api.ConfigChange{Field: field, Old: a, New: b})
	}
}

// kept tells that the user's choice stays, if it matters.
func (f *following) kept(field string, own, from, to any) {
	if a, b := tell(own), tell(to); a != b && tell(from) != b {
		f.changes = append(f.changes, api.ConfigChange{Field: field, Old: a, New: b, Kept: true})
	}
}

func (f *following) text(field, own, from, to string) string {
	if own != from {
		f.kept(field, own, from, to)
		return own
	}
	f.changed(field, own, to)
	return to
}

// directory is the working directory, which Docker cleans when it makes it.
func (f *following) directory(own, from, to string) string {
	if own != "" && from != "" && path.Clean(own) == path.Clean(from) {
		if from != to && path.Clean(own) != path.Clean(to) {
			f.changed("WorkingDir", own, to)
		}
		return to
	}
	return f.text("WorkingDir", own, from, to)
}

// command is entrypoint and command, which belong together.
func (f *following) command(next, c, from, to *moby.ContainerConfig) {
	ownEntrypoint := f.stays([]string(c.Entrypoint), []string(from.Entrypoint))
	if ownEntrypoint {
		f.kept("Entrypoint", []string(c.Entrypoint), []string(from.Entrypoint), []string(to.Entrypoint))
		next.Entrypoint = slices.Clone(c.Entrypoint)
	} else {
		f.changed("Entrypoint", []string(c.Entrypoint), []string(to.Entrypoint))
		next.Entrypoint = slices.Clone(to.Entrypoint)
	}
	if ownEntrypoint || f.stays([]string(c.Cmd), []string(from.Cmd)) {
		f.kept("Cmd", []string(c.Cmd), []string(from.Cmd), []string(to.Cmd))
		next.Cmd = slices.Clone(c.Cmd)
		return
	}
	f.changed("Cmd", []string(c.Cmd), []string(to.Cmd))
	next.Cmd = slices.Clone(to.Cmd)
	next.ArgsEscaped = to.ArgsEscaped
}

// given is a list that a container has only if it was given one.
func (f *following) given(field string, own, from, to []string) []string {
	if len(own) == 0 || f.stays(own, from) {
		return slices.Clone(own)
	}
	f.changed(field, own, to)
	return slices.Clone(to)
}

// env follows variable by variable, in the container's order; new ones come
// last, as Docker has them.
func (f *following) env(own, from, to []string) []string {
	old, then := variables(from), variables(to)
	var next []string
	for _, v := range own {
		name, _, _ := strings.Cut(v, "=")
		was, inOld := old[name]
		will, inNew := then[name]
		switch {
		case !inOld || was != v:
			if inNew {
				f.kept("Env "+name, v, was, will)
			}
			next = append(next, v)
		case inNew:
			f.changed("Env "+name, v, will)
			next = append(next, will)
		default:
			f.changed("Env "+name, v, "")
		}
	}
	has := variables(own)
	for _, v := range to {
		name, _, _ := strings.Cut(v, "=")
		if _, ok := has[name]; ok {
			continue
		}
		if was, ok := old[name]; ok { // the user did away with it
			f.kept("Env "+name, "", was, v)
			continue
		}
		f.changed("Env "+name, "", v)
		next = append(next, v)
	}
	return next
}

func variables(env []string) map[string]string {
	all := make(map[string]string, len(env))
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		all[name] = v
	}
	return all
}

// follow is for maps: name by name.
func follow[V comparable](f *following, field string, own, from, to map[string]V) map[string]V {
	next := map[string]V{}
	for _, k := range names(own, to) {
		mine, has := own[k]
		was, inOld := from[k]
		will, inNew := to[k]
		label := field + " " + k
		switch {
		case has != inOld || mine != was: // the user's choice
			if inNew {
				f.kept(label, presence(mine, has), presence(was, inOld), presence(will, inNew))
			}
			if has {
				next[k] = mine
			}
		case inNew:
			f.changed(label, presence(mine, has), presence(will, inNew))
			next[k] = will
		default:
			f.changed(label, presence(mine, has), "")
		}
	}
	if len(next) == 0 && own == nil {
		return nil
	}
	return next
}

// ports are exposed ports. Of the published ones it is told which the old image exposed
// and the new one does not.
func (f *following) ports(own, from, to, published moby.PortSet) moby.PortSet {
	const field = "ExposedPorts"
	mine, was, will := moby.PortNames(own), moby.PortNames(from), moby.PortNames(to)
	for _, port := range names(moby.PortNames(published), nil) {
		_, has := mine[port]
		_, exposed := was[port]
		if !has || !exposed {
			continue
		}
		delete(was, port)
		if _, stays := will[port]; !stays {
			f.kept(field+" "+port, presence(nil, true), presence(nil, true), "")
		}
	}
	return moby.PortsOf(follow(f, field, mine, was, will))
}

// names are the keys of two maps in order.
func names[V any](a, b map[string]V) []string {
	var all []string
	for _, m := range []map[string]V{a, b} {
		for k := range m {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// presence tells a map's value; of a set, whether the key is there.
func presence(v any, ok bool) any {
	if _, text := v.(string); text || !ok {
		if !ok {
			return ""
		}
		return v
	}
	return "yes"
}

// ConfigChanges tells in what two configurations of a container differ, of that
// which an image can set.
func ConfigChanges(from, to *moby.ContainerConfig) []api.ConfigChange {
	_, changes := Follow(from, from, to, nil)
	return changes
}

// tell is a value as a plan shows it: a text as it is, all else as JSON, and
// nothing for what is empty.
func tell(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	value := reflect.ValueOf(v)
	switch value.Kind() {
	case reflect.Slice, reflect.Map:
		if value.Len() == 0 {
			return ""
		}
	case reflect.Pointer:
		if value.IsNil() {
			return ""
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
