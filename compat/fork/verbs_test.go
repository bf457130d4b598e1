package fork_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/fork"
)

func TestCheckVerbs(t *testing.T) {
	const head = "package daemon\n\ntype Other interface{ Forget() }\n\n"
	for _, c := range []struct{ name, text, err string }{
		{"ours and Moby's", head + "type ImageService interface {\n\tTagImage(id string) error\n\tCleanup() error\n}\n", ""},
		{"a new one", head + "type ImageService interface {\n\tTagImage(id string) error\n\tFly() error\n}\n", "Fly"},
		{"an embedded interface", head + "type ImageService interface {\n\tTagImage(id string) error\n\tio.Closer\n}\n", "embedded io.Closer"},
		{"another type", head + "type ImageService struct{}\n", "no interface"},
		{"no type", head, "no interface"},
		{"no Go", "type", "expected 'package'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := fork.CheckVerbs([]byte(c.text))
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}
