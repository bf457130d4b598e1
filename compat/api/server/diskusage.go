package server

import (
	"context"
	"net/http"

	"github.com/baleen-project/baleen/compat/api"
)

// Usages measures what revisions take on disk.
type Usages interface {
	BaleenDiskUsage(ctx context.Context) (api.DiskUsage, error)
}

// DiskUsage answers with what revisions take on disk.
func DiskUsage(b Usages) Handler {
	return printable(func(ctx context.Context, w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
		usage, err := b.BaleenDiskUsage(ctx)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, usage)
	})
}
