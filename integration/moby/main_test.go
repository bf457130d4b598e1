package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/stack"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"-suite", "image,cli", "-timeout", "3m"})
	if err != nil {
		t.Fatal(err)
	}
	if len(o.suites) != 2 || o.suites[0].Name != "image" || o.suites[1].Run == "" || o.Timeout != 3*time.Minute {
		t.Errorf("options are %+v", o)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"", "which -suite?"},
		{"-suite nothing", `no suite "nothing"`},
		{"-suite image -only moby", "must be fork or stock"},
		{"-suite image more", `unexpected argument "more"`},
	} {
		_, err := parse(strings.Fields(tc.args))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: error is %v, want %q", tc.args, err, tc.want)
		}
	}
}

func TestMissingProgramIsNamed(t *testing.T) {
	bin := t.TempDir()
	for _, name := range append([]string{"dockerd-stock"}, sharedPrograms...) {
		if err := os.WriteFile(filepath.Join(bin, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := needPrograms(bin, []stack.Flavor{stack.Stock}); err != nil {
		t.Error(err)
	}
	err := needPrograms(bin, []stack.Flavor{stack.Stock, stack.Fork})
	if err == nil || err.Error() != bin+"/dockerd is missing: run `make build` first" {
		t.Errorf("error is %v", err)
	}
}
