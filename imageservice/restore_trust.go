package imageservice

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/compat/printable"
)

// labelMadeBy, on the index of a checkpoint in the content store, is the daemon that
// made it. Labels there are containerd's own: none come along with an image.
const labelMadeBy = "io.baleen.checkpoint.made-by"

// trusted checks that a checkpoint of somebody else gives a container nothing that
// an image could not: what is run by its configuration may be anything. plain is
// what the daemon gives to a container of which nothing is asked.
func (r *Restore) trusted(ctx context.Context, plain *moby.HostConfig) error {
	info, err := r.s.content.Info(ctx, r.index)
	if err != nil {
		return fmt.Errorf("look up the checkpoint: %w", err)
	}
	if maker := info.Labels[labelMadeBy]; maker != "" && maker == r.s.owner {
		return nil
	}
	j := &judging{rules: rules}
	j.configuration(r.asked, plain)
	if r.Process != nil {
		j.ask("processes as CRIU has dumped them")
	}
	if len(j.asked) == 0 {
		return nil
	}
	return fmt.Errorf("it was not made by this daemon, and asks for what reaches out of a container: %s; allow it with --trust if you trust those who made it: %w",
		j.list(), errdefs.ErrPermissionDenied)
}

// judging gathers what of a configuration gives a container more than `docker run`
// of an image without options does, but for limits.
type judging struct {
	rules map[string]rule
	asked []string
}

// configuration judges all of a configuration. What the daemon gives every container
// is nothing that was asked for.
func (j *judging) configuration(c restored, plain *moby.HostConfig) {
	if plain == nil {
		plain = &moby.HostConfig{}
	}
	j.fields("Config", reflect.ValueOf(c.config), reflect.Value{})
	j.fields("HostConfig", reflect.ValueOf(c.host), reflect.ValueOf(plain))
	for _, name := range slices.Sorted(maps.Keys(c.networks)) {
		judgeNetwork(j, name)
		j.fields("Networks", reflect.ValueOf(c.networks[name]), reflect.Value{})
	}
}

// rule judges the fields of a path, if they are not their type's zero. The zero rule
// is that of what is harmless with any value.
type rule struct {
	// judge asks for what the value is not to have without being trusted.
	judge func(j *judging, path string, v reflect.Value)
	// inner says that the fields of the value have rules of their own, which judge
	// asks for if there is one.
	inner bool
	// refused says that judge allows nothing but what is empty.
	refused bool
}

// value judges one value by the rule of its path. What nobody has judged must be
// zero.
func (j *judging) value(path string, v reflect.Value) {
	if v.IsZero() {
		return
	}
	r, judged := j.rules[path]
	switch {
	case !judged:
		j.ask("%s, which this version does not know", path)
	case r.judge != nil:
		r.judge(j, path, v)
	case r.inner:
		j.fields(path, v, reflect.Value{})
	}
}

// fields judges the fields of a structure, or of all structures of a list. Fields
// that are as in plain, if there is one, are not judged.
func (j *judging) fields(path string, v, plain reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			if plain.IsValid() {
				plain = plain.Elem()
			}
			j.fields(path, v.Elem(), plain)
		}
	case reflect.Slice:
		for i := range v.Len() {
			j.fields(path+"[]", v.Index(i), reflect.Value{})
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field, same := v.Type().Field(i), reflect.Value{}
			if plain.IsValid() {
				same = plain.Field(i)
			}
			switch {
			case field.Anonymous:
				j.fields(path, v.Field(i), same)
			case same.IsValid() && reflect.DeepEqual(v.Field(i).Interface(), same.Interface()):
			default:
				j.value(path+"."+field.Name, v.Field(i))
			}
		}
	default:
		j.ask("%s, which is no structure", path)
	}
}

// longestAsked is how many bytes of a text of the checkpoint's are shown, and
// mostAsked how many things it asks for.
const (
	longestAsked = 100
	mostAsked    = 20
)

// ask notes what is asked for. Texts among args are the checkpoint's.
func (j *judging) ask(format string, args ...any) {
	for i, arg := range args {
		args[i] = shorten(fmt.Sprint(arg))
	}
	j.asked = append(j.asked, fmt.Sprintf(format, args...))
}

// shorten is a text of a checkpoint's for a message.
func shorten(text string) string {
	if len(text) > longestAsked {
		text = strings.ToValidUTF8(text[:longestAsked], "") + "…"
	}
	return printable.Line(text)
}

func (j *judging) list() string { return theFirst(j.asked) }

// theFirst lists some texts of many.
func theFirst(texts []string) string {
	if more := len(texts) - mostAsked; more > 0 {
		return fmt.Sprintf("%s, and %d more", strings.Join(texts[:mostAsked], ", "), more)
	}
	return strings.Join(texts, ", ")
}
