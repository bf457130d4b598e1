package settings

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/compat/printable"
)

// Asked returns what of a configuration gives a container more than `docker run` of an
// image without options does, but for limits: texts for a person to read. plain is what
// the daemon gives to a container of which nothing is asked; nil if that is nothing.
func (c Configuration) Asked(plain *moby.HostConfig) []string {
	j := &judging{rules: rules}
	j.configuration(c, plain)
	return j.asked
}

// judging gathers what a configuration asks for.
type judging struct {
	rules map[string]rule
	asked []string
}

// configuration judges all of a configuration. What the daemon gives every container
// is nothing that was asked for.
func (j *judging) configuration(c Configuration, plain *moby.HostConfig) {
	if plain == nil {
		plain = &moby.HostConfig{}
	}
	j.fields("Config", reflect.ValueOf(c.Config), reflect.Value{})
	j.fields("HostConfig", reflect.ValueOf(c.Host), reflect.ValueOf(plain))
	for _, name := range slices.Sorted(maps.Keys(c.Networks)) {
		judgeNetwork(j, name)
		j.fields("Networks", reflect.ValueOf(c.Networks[name]), reflect.Value{})
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
		args[i] = Shorten(fmt.Sprint(arg))
	}
	j.asked = append(j.asked, fmt.Sprintf(format, args...))
}

// Shorten returns a text of a checkpoint for a message: printable, and not long.
func Shorten(text string) string {
	if len(text) > longestAsked {
		text = strings.ToValidUTF8(text[:longestAsked], "") + "…"
	}
	return printable.Line(text)
}

// List joins the first texts of many for a message.
func List(texts []string) string {
	if more := len(texts) - mostAsked; more > 0 {
		return fmt.Sprintf("%s, and %d more", strings.Join(texts[:mostAsked], ", "), more)
	}
	return strings.Join(texts, ", ")
}
