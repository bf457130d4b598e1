package main

import (
	"os/exec"
	"strings"
	"testing"
)

// The proxy serves hosts that have no Docker, and is small for it.
func TestLinksNoDocker(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal("go list: ", err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 100 {
		t.Fatalf("go list names %d packages only", len(deps))
	}
	for _, dep := range deps {
		for _, engine := range []string{"github.com/docker/docker", "github.com/moby/moby"} {
			if dep == engine || strings.HasPrefix(dep, engine+"/") {
				t.Errorf("it links %s", dep)
			}
		}
	}
}
