package commands_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/compat/api"
)

func TestCheckpointAndRestore(t *testing.T) {
	kept := api.Checkpoint{ID: newID, Ref: "web:1", Kind: "files", Size: 5_300_000, New: 1_200, Paused: 83 * time.Millisecond, Warnings: []string{"no volumes\x1b"}}
	nameless := kept
	nameless.Ref, nameless.Warnings, nameless.Paused = "", nil, 0
	made := api.Restored{ID: "0123", Name: "web", Kind: "files", Started: true}
	for name, test := range map[string]struct {
		args                  string
		end                   api.Progress
		request, stdout, rest string
	}{
		"a checkpoint": {
			"checkpoint --no-process web web:1", api.Progress{Checkpoint: &kept},
			`POST /containers/web/checkpoint {"Ref":"web:1","NoProcess":true}`,
			"Kept the files of web as web:1: 5.3MB, of which 1.2kB are new.\nIt stood still for 83 ms.\nTo make it again: docker baleen restore web:1\n",
			"reading\nWARNING: no volumes\\x1b\n",
		},
		"one without a name": {
			"checkpoint web", api.Progress{Checkpoint: &nameless}, `POST /containers/web/checkpoint {}`,
			"Kept the files of web as aaaaaaaaaaaa: 5.3MB, of which 1.2kB are new.\nTo make it again: docker baleen restore aaaaaaaaaaaa\n", "reading\n",
		},
		"a quiet one": {"checkpoint -q web", api.Progress{Checkpoint: &nameless}, `POST /containers/web/checkpoint {}`, newID + "\n", ""},
		"a restore": {
			"restore web:1", api.Progress{Restored: &made}, `POST /checkpoints/restore {"Ref":"web:1"}`,
			"Made web of the files in web:1, and started it.\n", "reading\n",
		},
		"one with options": {
			"restore --format {{.ID}} --name other --create-only web:1", api.Progress{Restored: &made},
			`POST /checkpoints/restore {"Ref":"web:1","Name":"other","CreateOnly":true}`, "0123\n", "reading\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			far := &api.ProgressDetail{Current: 1e6, Total: 2e6}
			answered := stream(t, api.Progress{Status: "reading"}, api.Progress{ProgressDetail: far}, test.end)
			o := run(t, map[string]answer{"POST /containers/web/checkpoint": answered, "POST /checkpoints/restore": answered}, strings.Fields(test.args)...)
			if o.err != nil {
				t.Fatal(o.err)
			}
			same(t, "the output", o.stdout, test.stdout)
			same(t, "what goes on", o.stderr, test.rest)
			if len(o.requests) != 1 || o.requests[0] != test.request {
				t.Errorf("the requests are %q", o.requests)
			}
		})
	}
}

func TestCheckpointCheck(t *testing.T) {
	able := map[string]answer{"GET /checkpoints/check": {http.StatusOK, api.CheckpointAbility{Processes: true, Version: "4.2.1"}}}
	o := run(t, able, "checkpoint", "--check")
	if o.err != nil {
		t.Error(o.err)
	}
	same(t, "the output", o.stdout, "The daemon can keep processes, with CRIU 4.2.1.\n")
	unable := map[string]answer{"GET /checkpoints/check": {http.StatusOK, api.CheckpointAbility{Reason: "there is no criu"}}}
	o = run(t, unable, "checkpoint", "--check")
	if o.err == nil || o.err.Error() != "the daemon cannot save processes: there is no criu (--no-process saves only the files)" {
		t.Errorf("without CRIU: %v", o.err)
	}
}

func TestCheckpointCheckOfAContainer(t *testing.T) {
	for want, can := range map[string]api.CheckpointAbility{
		"": {Processes: true, Version: "4.2.1"},
		"the daemon cannot save the processes of web: it has a terminal; no capability (--no-process saves only the files)": {Version: "4.2.1", Reason: "it has a terminal", Reasons: []string{"it has a terminal", "no capability"}},
		"the daemon cannot save the processes of web: there is no criu; no capability (--no-process saves only the files)":  {Reason: "there is no criu", Reasons: []string{"no capability"}},
	} {
		o := run(t, map[string]answer{"GET /containers/web/checkpoint/check": {http.StatusOK, can}}, "checkpoint", "--check", "web")
		switch {
		case want == "":
			same(t, "the output", o.stdout, "The daemon can keep the processes of web, with CRIU 4.2.1.\n")
		case o.err == nil || o.err.Error() != want:
			t.Errorf("the error is %v, want %s", o.err, want)
		}
	}
	if o := run(t, nil, "checkpoint", "--check", "web", "web:1"); o.err == nil || len(o.requests) > 0 {
		t.Errorf("with a name: %v, requests %q", o.err, o.requests)
	}
}

func TestCheckpointFails(t *testing.T) {
	for name, answered := range map[string]answer{
		"at once":        refuse(http.StatusConflict, "it is busy"),
		"on its way":     stream(t, api.Progress{Status: "reading"}, api.Progress{Error: "it is busy"}),
		"without an end": stream(t, api.Progress{Status: "reading"}),
	} {
		t.Run(name, func(t *testing.T) {
			for _, args := range [][]string{{"checkpoint", "web"}, {"restore", "web:1"}} {
				o := run(t, map[string]answer{"POST /containers/web/checkpoint": answered, "POST /checkpoints/restore": answered}, args...)
				if o.err == nil || o.stdout != "" {
					t.Errorf("%v: %v, %q", args, o.err, o.stdout)
				}
			}
		})
	}
}

// TestRestoreReplaces: what the options say goes to the daemon.
func TestRestoreReplaces(t *testing.T) {
	for args, want := range map[string]string{
		"": `{"Ref":"web:1"}`,
		"-p 8081:80 --publish 127.0.0.1::53/udp -p 9000-9001:9000-9001": `{"Ref":"web:1","Publish":[{"Port":"53/udp","HostIP":"127.0.0.1"},{"Port":"80/tcp","HostPort":"8081"},` +
			`{"Port":"9000/tcp","HostPort":"9000"},{"Port":"9001/tcp","HostPort":"9001"}]}`,
		"--publish none": `{"Ref":"web:1","Unpublished":true}`,
		"--network back --ip 10.0.0.7 --hostname copy -v a:/a --volume /b:/b:ro": `{"Ref":"web:1","Network":"back","IP":"10.0.0.7","Hostname":"copy","Volumes":["a:/a","/b:/b:ro"]}`,
	} {
		o := run(t, map[string]answer{"POST /checkpoints/restore": stream(t, api.Progress{Restored: &api.Restored{}})},
			append([]string{"restore", "web:1"}, strings.Fields(args)...)...)
		if o.err != nil {
			t.Errorf("%s: %v", args, o.err)
		}
		same(t, "the request of "+args, strings.Join(o.requests, "\n"), "POST /checkpoints/restore "+want)
	}
	for _, args := range []string{"--publish none -p 80:80", "-p 80:x", "-p x"} {
		o := run(t, nil, append([]string{"restore", "web:1"}, strings.Fields(args)...)...)
		if o.err == nil || len(o.requests) > 0 || !strings.Contains(o.err.Error(), "--publish") {
			t.Errorf("%s: %v, requests %q", args, o.err, o.requests)
		}
	}
}
