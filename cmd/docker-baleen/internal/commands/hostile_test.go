package commands_test

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/baleen-project/baleen/compat/api"
)

// hostileText clears a screen, sets a title, goes to the beginning of the line, turns
// around what follows, closes quotes and adds a line.
const hostileText = "a'\"$(b)`\x1b[2J\x1b]0;x\x07\r\u009b\u202e\u200b\nkept as ever\t\x00"

// fill sets all texts of a value, and gives lists an element.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostileText)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	}
}

func filled[T any](change func(*T)) T {
	var of T
	fill(reflect.ValueOf(&of).Elem())
	if change != nil {
		change(&of)
	}
	return of
}

// TestHostileText: whatever stands in whatever text of a daemon's answers, none of it
// is obeyed by a terminal, and none looks like a line of its own.
func TestHostileText(t *testing.T) {
	status := api.Progress{Status: hostileText}
	hinting := filled(func(p *api.Plan) {
		for _, class := range []string{"package database", "linker cache"} {
			p.Conflicts = append(p.Conflicts, api.Conflict{Path: "/x" + hostileText, Class: class, Winner: "container"})
		}
		p.ConflictCount = 9
	})
	result := filled(func(r *api.Result) { r.RolledBack = "" })
	for name, test := range map[string]struct {
		args   string
		route  string
		answer answer
	}{
		"revisions":             {"revisions web", "GET /containers/web/revisions", answer{http.StatusOK, []api.Revision{filled[api.Revision](nil)}}},
		"whole revisions":       {"revisions --no-trunc web", "GET /containers/web/revisions", answer{http.StatusOK, []api.Revision{filled[api.Revision](nil)}}},
		"parts of revisions":    {"revisions --format {{.Image}}{{.ImageID}}{{.Message}}{{.Kind}} web", "GET /containers/web/revisions", answer{http.StatusOK, []api.Revision{filled[api.Revision](nil)}}},
		"revisions to complete": {"__complete rollback web ", "GET /containers/web/revisions", answer{http.StatusOK, []api.Revision{filled[api.Revision](nil)}}},
		"a snapshot":            {"snapshot web", "POST /containers/web/snapshot", answer{http.StatusCreated, filled[api.Revision](nil)}},
		"a template":            {"snapshot --format {{.Message}} web", "POST /containers/web/snapshot", answer{http.StatusCreated, filled[api.Revision](nil)}},
		"JSON":                  {"snapshot --format json web", "POST /containers/web/snapshot", answer{http.StatusCreated, filled[api.Revision](nil)}},
		"a plan":                {"upgrade --dry-run web app:2", "POST /containers/web/upgrade", stream(t, status, api.Progress{Plan: &hinting})},
		"an upgrade":            {"upgrade web app:2", "POST /containers/web/upgrade", stream(t, status, api.Progress{Plan: &hinting}, api.Progress{Result: &result})},
		"rolled back":           {"rollback web", "POST /containers/web/rollback", stream(t, status, filled(func(p *api.Progress) { p.Error = "" }))},
		"a prune":               {"prune -f web", "POST /containers/web/revisions/prune", answer{http.StatusOK, filled[api.PruneReport](nil)}},
		"a checkpoint":          {"checkpoint web", "POST /containers/web/checkpoint", stream(t, status, api.Progress{Checkpoint: ptr(filled[api.Checkpoint](nil))})},
		"a nameless checkpoint": {"checkpoint web", "POST /containers/web/checkpoint", stream(t, api.Progress{Checkpoint: ptr(filled(func(c *api.Checkpoint) { c.Ref = "" }))})},
		"a checkpoint's id":     {"checkpoint -q web", "POST /containers/web/checkpoint", stream(t, api.Progress{Checkpoint: ptr(filled[api.Checkpoint](nil))})},
		"a restore":             {"restore web:1", "POST /checkpoints/restore", stream(t, status, api.Progress{Restored: ptr(filled[api.Restored](nil))})},
		"a container's id":      {"restore -q web:1", "POST /checkpoints/restore", stream(t, api.Progress{Restored: ptr(filled[api.Restored](nil))})},
		"disk usage":            {"df", "GET /baleen/df", answer{http.StatusOK, filled[api.DiskUsage](nil)}},
		"disk usage, quiet":     {"df -q", "GET /baleen/df", answer{http.StatusOK, filled[api.DiskUsage](nil)}},
		"an ability":            {"checkpoint --check", "GET /checkpoints/check", answer{http.StatusOK, filled[api.CheckpointAbility](nil)}},
		"no ability":            {"checkpoint --check", "GET /checkpoints/check", answer{http.StatusOK, filled(func(c *api.CheckpointAbility) { c.Processes = false })}},
		"a refusal":             {"restore web:1", "POST /checkpoints/restore", refuse(http.StatusForbidden, "it asks for "+hostileText)},
		"an answer of nobody":   {"snapshot web", "POST /containers/web/snapshot", answer{http.StatusTeapot, hostileText}},
		"a late error":          {"upgrade web app:2", "POST /containers/web/upgrade", stream(t, status, api.Progress{Error: hostileText})},
	} {
		t.Run(name, func(t *testing.T) {
			d := &daemon{terminal: true, answers: map[string]answer{test.route: test.answer}}
			server := httptest.NewServer(d)
			defer server.Close()
			o := d.run(t, on(server), strings.Split(test.args, " ")...)
			if len(o.requests) == 0 {
				t.Fatalf("nothing was asked: %v", o.err)
			}
			harmless(t, "the output", o.stdout)
			harmless(t, "what goes on", drawing.ReplaceAllString(o.stderr, ""))
			if o.err != nil {
				harmless(t, "the error", o.err.Error())
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

// drawing is what the plugin itself has a terminal do for a step.
var drawing = regexp.MustCompile(`\r\x1b\[K`)

func harmless(t *testing.T, what, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
			t.Errorf("%s has %U in it: %q", what, r, text)
			break
		}
	}
	if !utf8.ValidString(text) || strings.Contains(text, "\nkept as ever") {
		t.Errorf("%s is %q", what, text)
	}
}

// TestHintForAShell: what a hint says is to be typed means what it says.
func TestHintForAShell(t *testing.T) {
	for _, path := range []string{"/var/lib/dpkg/it's", "/var/lib/dpkg/$(touch x)", "/var/lib/dpkg/*[a]?\\", "/var/lib/dpkg/a\nb\x1b", "/var/lib/dpkg/status"} {
		plan := &api.Plan{ConflictCount: 1, Conflicts: []api.Conflict{{Path: path, Class: "package database", Winner: "container"}}}
		o := run(t, map[string]answer{"POST /containers/web/upgrade": stream(t, api.Progress{Plan: plan})}, "upgrade", "--dry-run", "web", "app:2")
		_, hint, ok := strings.Cut(o.stdout, "let the image win: --policy ")
		if !ok {
			t.Fatalf("there is no hint in %q", o.stdout)
		}
		hint, _, _ = strings.Cut(hint, "\n")
		out, err := exec.CommandContext(t.Context(), "bash", "--norc", "-c", "printf %s "+hint).Output()
		escaped := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
		if err != nil || string(out) != escaped+"=image" {
			t.Errorf("for %q it is %s, which bash reads as %q: %v", path, hint, out, err)
		}
	}
}

// TestOutputForAProgram: a program gets what the daemon said, byte by byte.
func TestOutputForAProgram(t *testing.T) {
	d := &daemon{terminal: true, piped: true, answers: map[string]answer{
		"POST /containers/web/snapshot": {http.StatusCreated, api.Revision{Message: hostileText}},
	}}
	server := httptest.NewServer(d)
	defer server.Close()
	o := d.run(t, on(server), "snapshot", "--format", "{{.Message}}", "web")
	same(t, "the message", o.stdout, hostileText+"\n")
}
