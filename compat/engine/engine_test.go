package engine_test

import (
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/engine"
)

func TestChosen(t *testing.T) {
	for _, tc := range []struct {
		variable string
		want     engine.Line
		invalid  bool
	}{
		{variable: "", want: engine.Default},
		{variable: "28.5", want: engine.V28},
		{variable: "29", want: engine.V29},
		{variable: "29.8", invalid: true},
		{variable: "../29", invalid: true},
	} {
		t.Setenv(engine.Variable, tc.variable)
		got, err := engine.Chosen()
		if got != tc.want || errdefs.IsInvalidArgument(err) != tc.invalid {
			t.Errorf("%s=%s: %q, %v", engine.Variable, tc.variable, got, err)
		}
	}
}

// The folders of two lines must not hold each other's programs.
func TestEachLineHasItsFolderAndModule(t *testing.T) {
	dirs, modules := map[string]engine.Line{}, map[string]engine.Line{}
	for _, l := range engine.Lines() {
		if other, ok := dirs[l.Dir("bin")]; ok {
			t.Errorf("%s and %s share folder %s", l, other, l.Dir("bin"))
		}
		if other, ok := modules[l.Module()]; ok || l.Module() == "" {
			t.Errorf("%s has module %q, and %s has it too", l, l.Module(), other)
		}
		dirs[l.Dir("bin")], modules[l.Module()] = l, l
	}
	if got := engine.Default.Dir("bin"); got != "bin" {
		t.Errorf("the default line's programs are in %s", got)
	}
}

// make hands its default on to every command.
func TestMakefileHasTheSameDefault(t *testing.T) {
	text, err := os.ReadFile("../../Makefile")
	if want := "\nDEFAULT_ENGINE := " + string(engine.Default) + "\n"; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("the Makefile has no line %q (%v)", want, err)
	}
}
