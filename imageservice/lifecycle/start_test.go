package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/baleen-project/baleen/imageservice/lifecycle"
)

func TestStart(t *testing.T) {
	bad, broken := errors.New("no such option"), errors.New("cannot load")
	var off *lifecycle.Operations
	on := newWorld(t, false).ops
	for name, tc := range map[string]struct {
		ops       *lifecycle.Operations
		bad, load error
		want      error
		steps     []string
	}{
		"on":           {ops: on, steps: []string{"load", "mend"}},
		"off":          {ops: off, steps: []string{"load"}},
		"bad option":   {ops: on, bad: bad, want: bad},
		"broken store": {ops: on, load: broken, want: broken, steps: []string{"load"}},
		"off, broken":  {ops: off, load: broken, want: broken, steps: []string{"load"}},
	} {
		t.Run(name, func(t *testing.T) {
			var steps []string
			load := func() error { steps = append(steps, "load"); return tc.load }
			mend := func(context.Context) { steps = append(steps, "mend") }
			if err := tc.ops.Start(t.Context(), tc.bad, load, mend); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if !slices.Equal(steps, tc.steps) {
				t.Errorf("steps were %q, want %q", steps, tc.steps)
			}
		})
	}
}
