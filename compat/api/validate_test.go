package api_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/compat/api"
)

func TestValidate(t *testing.T) {
	long := strings.Repeat("x", 4097)
	for _, tc := range []struct {
		name    string
		request interface{ Validate() error }
		err     string // "" if it is good
	}{
		{"upgrade", api.UpgradeRequest{Image: "x"}, ""},
		{"upgrade to what the name means", api.UpgradeRequest{}, ""},
		{"upgrade with a timeout", api.UpgradeRequest{Image: "x", HealthTimeout: 1}, ""},
		{"negative timeout", api.UpgradeRequest{Image: "x", HealthTimeout: -1}, "-1 seconds"},
		{"rollback", api.RollbackRequest{}, ""},
		{"negative revision", api.RollbackRequest{Revision: -2}, "revision -2"},
		{"prune", api.PruneRequest{Keep: 3, OlderThan: time.Hour}, ""},
		{"negative number", api.PruneRequest{Keep: -1}, "keep -1"},
		{"negative age", api.PruneRequest{OlderThan: -time.Second}, "-1s"},
		{"long timeout", api.UpgradeRequest{Image: "x", HealthTimeout: math.MaxInt}, "health timeout"},
		{"message", api.SnapshotRequest{Message: long[:api.MaxText]}, ""},
		{"long message", api.SnapshotRequest{Message: long}, "message has 4097 bytes"},
		{"long message of an upgrade", api.UpgradeRequest{Image: "x", Message: long}, "message has 4097 bytes"},
		{"long message of a rollback", api.RollbackRequest{Message: long}, "message has 4097 bytes"},
		{"long image", api.UpgradeRequest{Image: long}, "name of the image"},
		{"many paths", api.UpgradeRequest{Image: "x", Paths: make([]api.PathPolicy, 1001)}, "1001 policies"},
		{"many paths of a rollback", api.RollbackRequest{Paths: make([]api.PathPolicy, 1001)}, "1001 policies"},
		{"long pattern", api.RollbackRequest{Paths: []api.PathPolicy{{Pattern: long}}}, "pattern of a policy"},
		{"long policy", api.RollbackRequest{Policy: long}, "policy has"},
		{"checkpoint", api.CheckpointRequest{}, ""},
		{"long name of a checkpoint", api.CheckpointRequest{Ref: long}, "name of the checkpoint"},
		{"restore", api.RestoreRequest{Ref: "x"}, ""},
		{"no checkpoint", api.RestoreRequest{}, "no checkpoint"},
		{"long checkpoint", api.RestoreRequest{Ref: long}, "name of the checkpoint"},
		{"restore beside", api.RestoreRequest{Ref: "x", Publish: []api.PublishedPort{{Port: "80/tcp", HostPort: "1-9"}}, Volumes: []string{"a:/b:ro"}, Network: "n", IP: "::1"}, ""},
		{"published port", api.RestoreRequest{Ref: "x", Publish: []api.PublishedPort{{Port: "80"}}}, "such as 80/tcp"},
		{"ports and none", api.RestoreRequest{Ref: "x", Unpublished: true, Publish: []api.PublishedPort{{Port: "80/tcp"}}}, "none to be published"},
		{"many ports", api.RestoreRequest{Ref: "x", Publish: make([]api.PublishedPort, 1001)}, "1001 published ports"},
		{"volume without a path", api.RestoreRequest{Ref: "x", Volumes: []string{"/b"}}, "NAME:/PATH"},
		{"volume at no path", api.RestoreRequest{Ref: "x", Volumes: []string{"a:b"}}, "NAME:/PATH"},
		{"volume of nothing", api.RestoreRequest{Ref: "x", Volumes: []string{":/b"}}, "NAME:/PATH"},
		{"long volume", api.RestoreRequest{Ref: "x", Volumes: []string{"a:/" + long}}, "the volume has"},
		{"long network", api.RestoreRequest{Ref: "x", Network: long}, "network has"},
		{"long container", api.RestoreRequest{Ref: "x", Name: long}, "name of the container"},
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

func TestDecode(t *testing.T) {
	for body, want := range map[string]string{
		"":                      "",
		`{}`:                    "",
		`{"Message":"x"}`:       "",
		`{"message":"x"}` + " ": "",
		`{"Message":"x"}{}`:     "unexpected content",
		`{"Message":"x"}]`:      "unexpected content",
		`{"Massage":"x"}`:       "unknown field",
		`{"Message":1}`:         "invalid JSON",
		`{"Message":`:           "invalid JSON",
		`{"Message":"` + strings.Repeat("x", 5000) + `"}`:                 "message has 5000 bytes",
		`{"Message":"` + strings.Repeat("x", 1<<20) + `"}`:                "more than 1048576 bytes",
		`{"Message":[` + strings.Repeat("0,", 30_000) + `0]}`:             "more than 20000 values",
		`{"Message":` + strings.Repeat("[", 30) + strings.Repeat("]", 30): "more than 16 levels",
	} {
		var r api.SnapshotRequest
		err := api.Decode(strings.NewReader(body), &r)
		switch {
		case want == "" && err != nil:
			t.Errorf("%.40s: %v", body, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%.40s: got %v, want an error with %q", body, err, want)
		}
	}
}

// TestDecodeReadsNoMore: of an endless body no more is read than the limit.
func TestDecodeReadsNoMore(t *testing.T) {
	body := &endless{}
	if err := api.Decode(body, &api.SnapshotRequest{}); err == nil || body.read > 4<<20 {
		t.Errorf("%v, after %d bytes", err, body.read)
	}
}

type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}
