package harness

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// RegistryAddress is where the registry listens in the stack's network.
const RegistryAddress = "127.0.0.1:5000"

// WithRegistry starts a registry beside the daemons.
func (e *Env) WithRegistry(t *testing.T, store string) {
	t.Helper()
	address, err := e.StartRegistry(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	if address != RegistryAddress {
		t.Fatalf("the registry listens on %s", address)
	}
}

// Push returns the digest that was pushed, as the command prints it.
func (e *Env) Push(t *testing.T, name string) digest.Digest {
	t.Helper()
	dgst, _ := e.PushLayers(t, name)
	return dgst
}

// PushLayers returns also what became of each layer, by the first digits of its
// digest.
func (e *Env) PushLayers(t *testing.T, name string) (digest.Digest, map[string]string) {
	t.Helper()
	out := e.Must(t, "push", name)
	var pushed digest.Digest
	layers := map[string]string{}
	for _, line := range strings.Split(out, "\n") {
		what, how, _ := strings.Cut(line, ": ")
		if rest, ok := strings.CutPrefix(how, "digest: "); ok {
			text, _, _ := strings.Cut(rest, " ")
			pushed = digest.Digest(text)
		} else if how != "" {
			layers[what] = how
		}
	}
	if err := pushed.Validate(); err != nil {
		t.Fatalf("docker push %s printed\n%s", name, out)
	}
	return pushed, layers
}
