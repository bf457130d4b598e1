package commands_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/flags"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/commands"
)

// daemon answers as the API says that a daemon does: "METHOD /path" without the
// version to a status and a body. Other paths are what they are in Moby.
type daemon struct {
	answers  map[string]answer
	terminal bool   // of the one who asks
	piped    bool   // the output goes elsewhere
	typed    string // by the one who asks

	mu       sync.Mutex
	requests []string    // method, path and body
	header   http.Header // of the last
}

type answer struct {
	status int
	body   any // a string goes as it is
}

var version = regexp.MustCompile(`^/v1\.\d+/`)

func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/_ping") {
		w.Header().Set("Api-Version", "1.51")
		w.Header().Set("Ostype", "linux")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err) // of a handler's goroutine: it ends the connection
	}
	if !version.MatchString(r.URL.Path) {
		panic("a request without the version: " + r.URL.Path)
	}
	route := r.Method + " /" + version.ReplaceAllString(r.URL.Path, "")
	d.mu.Lock()
	d.requests = append(d.requests, strings.TrimSpace(route+" "+string(body)))
	d.header = r.Header
	d.mu.Unlock()
	a, ok := d.answers[route]
	if !ok {
		a = refuse(http.StatusNotFound, "page not found")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	if text, ok := a.body.(string); ok {
		fmt.Fprint(w, text)
	} else if err := json.NewEncoder(w).Encode(a.body); err != nil {
		panic(err)
	}
}

func refuse(status int, message string) answer {
	return answer{status, map[string]string{"message": message}}
}

// stream is an answer of JSON messages.
func stream(t *testing.T, messages ...any) answer {
	t.Helper()
	var b bytes.Buffer
	for _, m := range messages {
		if err := json.NewEncoder(&b).Encode(m); err != nil {
			t.Fatal(err)
		}
	}
	return answer{http.StatusOK, b.String()}
}

// outcome is what a command did.
type outcome struct {
	stdout, stderr string
	err            error
	requests       []string
}

// at tells Docker's CLI where the daemon is.
type at func(*flags.ClientOptions)

func on(server *httptest.Server) at {
	return func(o *flags.ClientOptions) { o.Hosts = []string{"tcp://" + server.Listener.Addr().String()} }
}

// run runs `docker baleen ARGS` on a daemon with these answers.
func run(t *testing.T, answers map[string]answer, args ...string) outcome {
	t.Helper()
	d := &daemon{answers: answers}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return d.run(t, on(server), args...)
}

func (d *daemon) run(t *testing.T, where at, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	docker, err := command.NewDockerCli(
		command.WithBaseContext(t.Context()),
		command.WithInputStream(io.NopCloser(strings.NewReader(d.typed))),
		command.WithOutputStream(&stdout),
		command.WithErrorStream(&stderr),
	)
	if err != nil {
		t.Fatal(err)
	}
	o := flags.NewClientOptions()
	where(o)
	if o.ConfigDir == "" {
		o.ConfigDir = t.TempDir() // not the user's own
	}
	if err := docker.Initialize(o); err != nil {
		t.Fatal(err)
	}
	docker.In().SetIsTerminal(d.terminal)
	docker.Err().SetIsTerminal(d.terminal)
	docker.Out().SetIsTerminal(d.terminal && !d.piped)
	cmd := commands.New(docker)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(docker.Out())
	cmd.SetErr(docker.Err())
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return outcome{stdout: stdout.String(), stderr: stderr.String(), err: err, requests: d.requests}
}

// same compares texts, and shows both in full.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is\n%s\nnot\n%s\n(%q)", what, got, want, got)
	}
}
