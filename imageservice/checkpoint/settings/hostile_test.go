package settings_test

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/imageservice/checkpoint/settings"
	"github.com/baleen-project/baleen/integration/hostile"
)

// TestHostileConfigurations: whatever stands in whatever place of a checkpoint's
// configuration, reading and judging it does not panic; and no null comes through
// that Moby would take for a structure.
func TestHostileConfigurations(t *testing.T) {
	number := 0
	for name, of := range judged {
		if name == "Networks" {
			of = reflect.MapOf(reflect.TypeFor[string](), reflect.PointerTo(of))
		}
		for _, text := range hostile.Texts(of) {
			number++
			config, host, networks := "{}", "{}", "{}"
			switch name {
			case "Config":
				config = text.JSON
			case "HostConfig":
				host = text.JSON
			default:
				networks = text.JSON
			}
			err := try(func() error {
				_, err := settings.Asked(described(t, config, host, networks), plainHost())
				return err
			})
			switch {
			case err != nil && strings.Contains(err.Error(), "panic"):
				t.Errorf("%s %s: %v", name, text.JSON, err)
			case err == nil && !text.Decodes:
				t.Errorf("%s %s cannot be decoded, and is taken", name, text.JSON)
			case err == nil && nullStructure.MatchString(text.JSON):
				t.Errorf("%s %s is taken", name, text.JSON)
			}
		}
	}
	if number < 2000 {
		t.Errorf("there are but %d texts", number)
	}
}

// nullStructure is a list of structures that has a null.
var nullStructure = regexp.MustCompile(`^{"(Ulimits|Blkio\w+)":\[null\]}$`)

func try(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}
