package commands_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
)

const containerID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// reported is a report with one finding of each fate.
func reported() api.CheckReport {
	return api.CheckReport{
		Findings: []api.Finding{
			{Kind: api.FindingLease, Object: "baleen-X", Text: "it\nleaks\x1b[2J", Help: "delete it", Repairable: true, Repaired: true},
			{Kind: api.FindingUnfinished, Object: containerID, Container: containerID, Text: "cut short", Help: "stop it", Repairable: true, Failure: "it runs"},
			{Kind: api.FindingRecord, Object: containerID + ".r2", Container: containerID, Text: "gone", Help: "prune it"},
		},
		Found: 3, Left: 2, Busy: []string{strings.Repeat("f", 64)},
		Looked: api.Looked{Containers: 1, Revisions: 2, Leases: 3, Images: 4, Blobs: 7, Bytes: 5_000_000},
	}
}

func TestCheck(t *testing.T) {
	const route = "POST /baleen/check"
	nothing := api.CheckReport{Findings: []api.Finding{}, Looked: api.Looked{Containers: 2, Leases: 2}}
	repaired := reported()
	repaired.Findings, repaired.Found, repaired.Left, repaired.Busy = repaired.Findings[:1], 1, 0, nil
	many := reported()
	many.Found = 1003
	busy := nothing
	busy.Busy = reported().Busy
	for name, test := range map[string]struct {
		args, request, want string
		report              api.CheckReport
		status              int
	}{
		"nothing": {"", "{}", "Looked at 2 containers with 0 revisions, 2 leases, 0 images and 0 mounts.\nNothing is wrong.\n", nothing, 0},
		"busy": {"", "{}", "Container ffffffffffff was not judged: it was busy\n" +
			"Looked at 2 containers with 0 revisions, 2 leases, 0 images and 0 mounts.\nNothing is wrong with what was judged.\n", busy, 0},
		"repaired": {"--repair", `{"Repair":true}`, "lease-leaked baleen-X\n  it leaks\\x1b[2J\n  repaired\n" +
			"Looked at 1 container with 2 revisions, 3 leases, 4 images and 0 mounts; read 5MB of 7 blobs.\nRepaired 1 finding; nothing else is wrong.\n", repaired, 0},
		"left": {"--content --repair", `{"Repair":true,"Content":true}`, "lease-leaked baleen-X\n  it leaks\\x1b[2J\n  repaired\n" +
			"move-unfinished " + containerID + "\n  cut short\n  could not be repaired: it runs\n  stop it\n" +
			"record-unreadable " + containerID + ".r2\n  of container 0123456789ab\n  gone\n  prune it\n" +
			"Container ffffffffffff was not judged: it was busy\n" +
			"Looked at 1 container with 2 revisions, 3 leases, 4 images and 0 mounts; read 5MB of 7 blobs.\n3 findings, 1 of them repaired.\n", reported(), 1},
		"quiet":         {"-q", "{}", "move-unfinished " + containerID + "\nrecord-unreadable " + containerID + ".r2\n", reported(), 1},
		"quiet nothing": {"-q", "{}", "", nothing, 0},
		"template":      {"--format {{.Left}}", "{}", "2\n", reported(), 1},
		"many":          {"--format {{.Found}}", "{}", "1003\n", many, 1},
	} {
		t.Run(name, func(t *testing.T) {
			o := run(t, map[string]answer{route: {http.StatusOK, test.report}}, strings.Fields("check "+test.args)...)
			same(t, "the output", o.stdout, test.want)
			same(t, "the request", strings.Join(o.requests, "\n"), route+" "+test.request)
			if status := statusOf(o.err); status != test.status {
				t.Errorf("status %d, want %d: %v", status, test.status, o.err)
			}
		})
	}
}

// A program gets the whole report, and numbers as numbers.
func TestCheckAsJSON(t *testing.T) {
	for _, flag := range []string{"--json", "--format=json"} {
		o := run(t, map[string]answer{"POST /baleen/check": {http.StatusOK, reported()}}, "check", flag)
		var got api.CheckReport
		if err := json.Unmarshal([]byte(o.stdout), &got); err != nil || !reflect.DeepEqual(got, reported()) {
			t.Errorf("%s prints %s: %v", flag, o.stdout, err)
		}
		if statusOf(o.err) != 1 {
			t.Errorf("%s: status %d", flag, statusOf(o.err))
		}
	}
}

// A check that did not take place is not taken for findings.
func TestCheckFails(t *testing.T) {
	for args, want := range map[string]string{
		"check":                      "is not Baleen's",
		"check --format {{":          "parse --format",
		"check --json --format json": "cannot be used together",
	} {
		o := run(t, nil, strings.Fields(args)...)
		if statusOf(o.err) != 2 || !strings.Contains(o.err.Error(), want) || o.stdout != "" {
			t.Errorf("%s: status %d, %v, output %q; want %q", args, statusOf(o.err), o.err, o.stdout, want)
		}
	}
}
