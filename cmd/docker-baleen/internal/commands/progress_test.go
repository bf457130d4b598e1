package commands_test

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
)

// On a terminal a step stays on its line until it is over; the last line says
// how it went.
func TestProgressOnATerminal(t *testing.T) {
	for name, test := range map[string]struct {
		args string
		last api.Progress
		want string
	}{
		"well":        {"", api.Progress{Result: &api.Result{}}, "stopping done TIME\nstarting done TIME\n"},
		"error":       {"", api.Progress{Error: "no"}, "stopping done TIME\nstarting failed TIME\n"},
		"rolled back": {"", api.Progress{Result: &api.Result{RolledBack: "it exited"}}, "stopping done TIME\nstarting failed TIME\n"},
		"quiet":       {"-q", api.Progress{Result: &api.Result{}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := &daemon{terminal: true, answers: map[string]answer{"POST /containers/web/upgrade": stream(t,
				api.Progress{Status: "stopping"}, api.Progress{Status: "starting"}, test.last)}}
			server := httptest.NewServer(d)
			defer server.Close()
			o := d.run(t, on(server),
				strings.Fields("upgrade web app:2 "+test.args)...)
			same(t, "what is left", seen(o.stderr), test.want)
		})
	}
}

// A step that tells how far it has got says so until the next one begins.
func TestProgressInBytes(t *testing.T) {
	far := func(current, total int64) api.Progress {
		return api.Progress{ProgressDetail: &api.ProgressDetail{Current: current, Total: total}}
	}
	d := &daemon{terminal: true, answers: map[string]answer{"POST /checkpoints/restore": stream(t,
		api.Progress{Status: "reading"}, far(1e6, 0), api.Progress{Status: "unpacking"}, far(1e6, 5e7), far(5e7, 5e7),
		api.Progress{Status: "starting"}, api.Progress{Restored: &api.Restored{}})}}
	server := httptest.NewServer(d)
	defer server.Close()
	o := d.run(t, on(server), "restore", "web:1")
	same(t, "what is left", seen(o.stderr), "reading 1MB done TIME\nunpacking 50MB of 50MB done TIME\nstarting done TIME\n")
}

var times = regexp.MustCompile(`\d+\.\ds`)

// seen is what a terminal shows in the end, without the times.
func seen(text string) string {
	const erase = "\x1b[K"
	var lines strings.Builder
	for line := range strings.Lines(text) {
		if i := strings.LastIndex(line, erase); i >= 0 {
			line = line[i+len(erase):]
		}
		lines.WriteString(times.ReplaceAllString(line, "TIME"))
	}
	return lines.String()
}

// TestWarningsOfAFailure: what a failing operation warns of stands on the standard error,
// also if the command is quiet, and on a terminal above the running step.
func TestWarningsOfAFailure(t *testing.T) {
	for name, test := range map[string]struct {
		args     string
		terminal bool
		want     string
	}{
		"pipe":     {"", false, "starting\nWARNING: the volume \\x1b[2J at /data is empty\n"},
		"quiet":    {"-q", false, "WARNING: the volume \\x1b[2J at /data is empty\n"},
		"terminal": {"", true, "WARNING: the volume \\x1b[2J at /data is empty\nstarting failed TIME\n"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &daemon{terminal: test.terminal, answers: map[string]answer{}}
			for _, route := range []string{"POST /checkpoints/restore", "POST /containers/web/upgrade"} {
				d.answers[route] = stream(t, api.Progress{Status: "starting"}, api.Progress{Warnings: []string{"the volume \x1b[2J at /data is empty"}}, api.Progress{Error: "no"})
			}
			server := httptest.NewServer(d)
			defer server.Close()
			for _, args := range []string{"restore web:1 ", "upgrade web app:2 "} {
				o := d.run(t, on(server), strings.Fields(args+test.args)...)
				if o.err == nil {
					t.Error("there is no error")
				}
				same(t, "what is left of "+args, seen(o.stderr), test.want)
			}
		})
	}
}
