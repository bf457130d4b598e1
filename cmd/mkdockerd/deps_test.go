package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/baleen-project/baleen/compat/engine"
)

// docker-baleen has the client of docker/docker, which is the module of 28.5.
func TestCheckDeps(t *testing.T) {
	program := filepath.Join(t.TempDir(), "docker-baleen")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags=-w", "-o", program, "../docker-baleen").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	if err := checkDeps(program, engine.V28); err != nil {
		t.Errorf("on its own line: %v", err)
	}
	if err := checkDeps(program, engine.V29); err == nil {
		t.Error("what links another line's module passes")
	}
	if err := checkDeps("deps_test.go", engine.V29); err == nil {
		t.Error("what is no program passes")
	}
}
