package suites

import (
	"slices"
	"testing"
)

func TestExactly(t *testing.T) {
	for name, want := range map[string]string{
		"TestA":           `^TestA$`,
		"TestA/b":         `^TestA$/^b$`,
		"TestA/v1.2|x(y)": `^TestA$/^v1\.2\|x\(y\)$`,
		"TestSave/busybox@sha256:<digest>/Config": `^TestSave$/^busybox@sha256:[0-9a-f]{64}$/^Config$`,
	} {
		if got := exactly(name); got != want {
			t.Errorf("exactly(%q) is %s, want %s", name, got, want)
		}
	}
}

func TestInnermostAndOutermost(t *testing.T) {
	names := []string{"A", "A/x", "A/x/1", "A/y", "AB", "B/z"}
	if got, want := innermost(names), []string{"A/x/1", "A/y", "AB", "B/z"}; !slices.Equal(got, want) {
		t.Errorf("innermost are %v, want %v", got, want)
	}
	if got, want := outermost(names), []string{"A", "AB", "B/z"}; !slices.Equal(got, want) {
		t.Errorf("outermost are %v, want %v", got, want)
	}
}

func TestSelectionWithout(t *testing.T) {
	s := Suite{Run: "TestX", LeftOut: []LeftOut{{"^TestNetwork", "hangs"}}}
	got := s.selection().without([]string{"TestA", "TestB/x"})
	want := selection{run: "TestX", skip: `^TestNetwork|^TestA$|^TestB$/^x$`}
	if got != want {
		t.Errorf("selection is %+v, want %+v", got, want)
	}
}
