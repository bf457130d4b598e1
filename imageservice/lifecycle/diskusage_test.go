package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
)

// TestDiskUsage: containers with revisions are listed, the largest first, and one that
// cannot be looked at with the reason.
func TestDiskUsage(t *testing.T) {
	w := newWorld(t, true)
	for _, name := range []string{"/db", "/broken", "/empty"} {
		c := moby.NewContainer("id of "+name, "")
		c.Name = name
		w.others = append(w.others, c)
	}
	w.usage = map[string]containerstore.DiskUsage{
		"/web": {Revisions: 2, Size: 100, Shared: 60},
		"/db":  {Revisions: 1, Size: 500, Shared: 500, Unmeasured: 3},
	}
	usage, err := w.ops.BaleenDiskUsage(t.Context())
	want := []api.ContainerUsage{
		{ID: "id of /db", Name: "db", Revisions: 1, Size: 500, Shared: 500, Unmeasured: 3},
		{ID: id, Name: "web", Revisions: 2, Size: 100, Shared: 60, Reclaimable: 40},
		{ID: "id of /broken", Name: "broken", Error: errFault.Error()},
	}
	if err != nil || !slices.Equal(usage.Containers, want) {
		t.Errorf("%+v, want %+v: %v", usage.Containers, want, err)
	}
	if usage.Revisions != 3 || usage.Size != 600 || usage.Shared != 560 || usage.Reclaimable != 40 {
		t.Errorf("all together take %+v", usage)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.ops.BaleenDiskUsage(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("of a request that has ended: %v", err)
	}
}
