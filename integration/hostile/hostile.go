package hostile

import (
	"encoding/json"
	"reflect"
	"strings"
)

// values are put in every place.
var values = []string{
	"null", "{}", "[]", "[null]", "[[]]", `[""]`, "[{}]", "[[null]]", `{"":null}`, `{"":{}}`, `{"":[]}`, `{"":[null]}`, `{"":""}`, `{"a":{}}`,
	`""`, `"x"`, `"\u0000\u001b[2J\u202e"`, "true", "0", "-1", "1e400", "-9223372036854775808", "9223372036854775807", "18446744073709551615", "0.5",
}

// Text is a JSON text for a type, with a value in one place.
type Text struct {
	JSON string
	// List says that the place is a list or a map, and Decodes that the type takes the
	// text.
	List, Decodes bool
}

// Texts are a type's, in the order of its fields.
func Texts(of reflect.Type) (texts []Text) {
	places(of, func(at reflect.Type, in func(string) string) {
		list := at.Kind() == reflect.Slice || at.Kind() == reflect.Map
		for _, v := range values {
			text := in(v)
			texts = append(texts, Text{text, list, unmarshals(text, of)})
		}
	}, func(inner string) string { return inner })
	return texts
}

// places calls f for each place in a type, with what puts a value there.
func places(of reflect.Type, f func(at reflect.Type, in func(string) string), in func(string) string) {
	switch of.Kind() {
	case reflect.Pointer:
		places(of.Elem(), f, in)
	case reflect.Struct:
		f(of, in)
		for i := range of.NumField() {
			field := of.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous {
				places(field.Type, f, in)
				continue
			}
			if name == "" {
				name = field.Name
			}
			places(field.Type, f, func(inner string) string { return in(`{"` + name + `":` + inner + `}`) })
		}
	case reflect.Slice, reflect.Array:
		f(of, in)
		places(of.Elem(), f, func(inner string) string { return in("[" + inner + "]") })
	case reflect.Map:
		f(of, in)
		places(of.Elem(), f, func(inner string) string { return in(`{"k":` + inner + `}`) })
	default:
		f(of, in)
	}
}
func unmarshals(text string, into reflect.Type) bool {
	return json.Unmarshal([]byte(text), reflect.New(into).Interface()) == nil
}
