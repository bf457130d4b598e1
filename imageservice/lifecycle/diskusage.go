package lifecycle

import (
	"cmp"
	"context"
	"slices"

	"github.com/baleen-project/baleen/compat/api"
)

// BaleenDiskUsage returns what revisions take on disk, by container, the largest first.
// Containers without revisions are left out. One whose revisions cannot be measured is in
// it with the reason.
func (o *Operations) BaleenDiskUsage(ctx context.Context) (api.DiskUsage, error) {
	if o == nil {
		return api.DiskUsage{}, ErrOff()
	}
	usage := api.DiskUsage{Containers: []api.ContainerUsage{}}
	for _, c := range o.images.ContainerStore.List() {
		u, err := o.files.DiskUsage(ctx, c)
		if err := ctx.Err(); err != nil {
			return api.DiskUsage{}, err
		}
		if err == nil && u.Revisions == 0 {
			continue
		}
		of := api.ContainerUsage{
			ID: c.ID, Name: bare(c), Revisions: u.Revisions,
			Size: u.Size, Shared: u.Shared, Reclaimable: u.Size - u.Shared, Unmeasured: u.Unmeasured,
		}
		if err != nil {
			of.Error = err.Error()
		}
		usage.Containers = append(usage.Containers, of)
		usage.Revisions += of.Revisions
		usage.Size += of.Size
		usage.Shared += of.Shared
		usage.Reclaimable += of.Reclaimable
	}
	slices.SortFunc(usage.Containers, func(a, b api.ContainerUsage) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name))
	})
	return usage, nil
}
