package commands_test

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"
	"github.com/docker/cli/cli/flags"
	"github.com/docker/go-connections/tlsconfig"
)

// The daemon is the one that docker would ask, and what is said of it names it.

func TestSocket(t *testing.T) {
	d, host := onSocket(t)
	d.listed(t, host, func(o *flags.ClientOptions) { o.Hosts = []string{host} })
}

func TestDockerHost(t *testing.T) {
	d, host := onSocket(t)
	t.Setenv("DOCKER_HOST", host)
	d.listed(t, host, func(*flags.ClientOptions) {})
}

func TestTLS(t *testing.T) {
	d := newDaemon()
	server := httptest.NewTLSServer(d)
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	host := "tcp://" + server.Listener.Addr().String()
	d.listed(t, host, func(o *flags.ClientOptions) {
		o.Hosts = []string{host}
		o.TLS, o.TLSVerify = true, true
		o.TLSOptions = &tlsconfig.Options{CAFile: ca}
	})
}

func TestContext(t *testing.T) {
	d, host := onSocket(t)
	dir := t.TempDir()
	contexts := store.New(filepath.Join(dir, "contexts"), command.DefaultContextStoreConfig())
	err := contexts.CreateOrUpdate(store.Metadata{
		Name:     "far",
		Metadata: command.DockerContext{},
		Endpoints: map[string]any{
			// What a context says of TLS does not hold for a socket.
			docker.DockerEndpoint: docker.EndpointMeta{Host: host, SkipTLSVerify: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.listed(t, host, func(o *flags.ClientOptions) { o.ConfigDir, o.Context = dir, "far" })
}

// TestHeaders: those that the user's configuration has go along.
func TestHeaders(t *testing.T) {
	d, host := onSocket(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, config.ConfigFileName), []byte(`{"HttpHeaders": {"X-Meta": "krill"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	d.listed(t, host, func(o *flags.ClientOptions) { o.ConfigDir, o.Hosts = dir, []string{host} })
	if got := d.header.Get("X-Meta"); got != "krill" {
		t.Errorf("the daemon got X-Meta: %q", got)
	}
}

func TestNoDaemon(t *testing.T) {
	host := "unix://" + filepath.Join(t.TempDir(), "none.sock")
	o := newDaemon().run(t, func(o *flags.ClientOptions) { o.Hosts = []string{host} }, "revisions", "web")
	if o.err == nil || !strings.Contains(o.err.Error(), "Cannot connect to the Docker daemon at "+host) {
		t.Errorf("the error is %v", o.err)
	}
}

func newDaemon() *daemon {
	return &daemon{answers: map[string]answer{"GET /containers/web/revisions": {http.StatusOK, history()}}}
}

func onSocket(t *testing.T) (*daemon, string) {
	t.Helper()
	d := newDaemon()
	path := filepath.Join(t.TempDir(), "d.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(d)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return d, "unix://" + path
}

// listed asks for revisions, and for those of a daemon without them.
func (d *daemon) listed(t *testing.T, host string, where at) {
	t.Helper()
	o := d.run(t, where, "revisions", "-q", "web")
	if o.err != nil {
		t.Fatal(o.err)
	}
	same(t, "the list", o.stdout, "12\n3\n1\n")
	o = d.run(t, where, "snapshot", "web")
	if o.err == nil || !strings.Contains(o.err.Error(), "the daemon at "+host+" is not Baleen's") {
		t.Errorf("a snapshot: %v", o.err)
	}
}
