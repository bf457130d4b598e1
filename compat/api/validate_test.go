package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/compat/api"
)

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name    string
		request interface{ Validate() error }
		err     string // "" if it is good
	}{
		{"upgrade", api.UpgradeRequest{Image: "x"}, ""},
		{"no image", api.UpgradeRequest{}, "no image"},
		{"upgrade with a timeout", api.UpgradeRequest{Image: "x", HealthTimeout: 1}, ""},
		{"negative timeout", api.UpgradeRequest{Image: "x", HealthTimeout: -1}, "-1 seconds"},
		{"rollback", api.RollbackRequest{}, ""},
		{"negative revision", api.RollbackRequest{Revision: -2}, "revision -2"},
		{"prune", api.PruneRequest{Keep: 3, OlderThan: time.Hour}, ""},
		{"negative number", api.PruneRequest{Keep: -1}, "keep -1"},
		{"negative age", api.PruneRequest{OlderThan: -time.Second}, "-1s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			switch err := tc.request.Validate(); {
			case tc.err == "" && err != nil:
				t.Error(err)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Errorf("got %v, want an error with %s", err, tc.err)
			}
		})
	}
}
