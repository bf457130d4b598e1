package commands_test

import (
	"net/http"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
)

func TestDf(t *testing.T) {
	usage := api.DiskUsage{
		Revisions: 8, Size: 121_000_000, Shared: 80_000_000, Reclaimable: 41_000_000,
		Containers: []api.ContainerUsage{
			{ID: newID, Name: "web", Revisions: 5, Size: 120_000_000, Shared: 80_000_000, Reclaimable: 40_000_000},
			{ID: oldID, Name: "db", Revisions: 3, Size: 1_000_000, Reclaimable: 1_000_000, Unmeasured: 1},
			{ID: oldID, Name: "lost", Error: "measure the revisions of container 111111111111: no"},
		},
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"table": {nil, "" +
			"CONTAINER   REVISIONS   SIZE      SHARED    RECLAIMABLE\n" +
			"web         5           120MB     80MB      40MB (33%)\n" +
			"db          3           1MB       0B        1MB (100%)\n" +
			"lost        0           0B        0B        0B\n" +
			"(all)       8           121MB     80MB      41MB (34%)\n"},
		"quiet":    {[]string{"-q"}, "web\ndb\nlost\n"},
		"template": {[]string{"--format", "{{.Size}} {{(index .Containers 0).Reclaimable}}"}, "121000000 40000000\n"},
	} {
		t.Run(name, func(t *testing.T) {
			o := run(t, map[string]answer{"GET /baleen/df": {http.StatusOK, usage}}, append([]string{"df"}, test.args...)...)
			if o.err != nil {
				t.Fatal(o.err)
			}
			same(t, "the output", o.stdout, test.want)
			same(t, "the warnings", o.stderr, "WARNING: 1 revision of container db: the size is unknown\nWARNING: measure the revisions of container 111111111111: no\n")
		})
	}
	if o := run(t, nil, "df"); o.err == nil {
		t.Errorf("on a daemon that is not Baleen's it prints %q", o.stdout)
	}
}
