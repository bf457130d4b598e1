package server

import (
	"context"
	"net/http"

	"github.com/baleen-project/baleen/compat/api"
)

// Checks looks for what is wrong with what the daemon has in containerd.
type Checks interface {
	BaleenCheck(ctx context.Context, req api.CheckRequest) (api.CheckReport, error)
}

// Check answers with a report.
func Check(b Checks) Handler {
	return decoded(func(ctx context.Context, w http.ResponseWriter, _ map[string]string, body api.CheckRequest) error {
		report, err := b.BaleenCheck(ctx, body)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, report)
	})
}
