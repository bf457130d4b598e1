package stack_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/integration/stack"
)

func TestStartRefusesWithOneClearLine(t *testing.T) {
	if err := stack.CheckMachine(); err != nil {
		t.Skip(err)
	}
	dir := shortDir(t)
	foreign := filepath.Join(dir, "foreign")
	file := filepath.Join(dir, "file")
	mustWrite(t, filepath.Join(foreign, "thesis.tex"), "years of work")
	mustWrite(t, file, "")
	kept := filepath.Join(dir, "kept")
	mustWrite(t, filepath.Join(kept, "stack.json"), `{"Config":{"KeepRoot":true}}`)
	mustWrite(t, filepath.Join(kept, "data", "precious"), "years of work")
	empty := filepath.Join(dir, "bin")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}

	tests := map[string]struct {
		config stack.Config
		env    string
		want   string
		is     func(error) bool
	}{
		"binaries not built":  {config: stock, env: "BALEEN_BIN=" + empty, want: "/dockerd-stock is missing: run `make build` first", is: errdefs.IsNotFound},
		"containerd missing":  {config: stack.Config{Flavor: stack.Stock, ContainerdBin: dir + "/containerd"}, want: "/containerd is missing", is: errdefs.IsNotFound},
		"root too long":       {config: stack.Config{Flavor: stack.Stock, Root: dir + "/" + strings.Repeat("x", 100)}, want: "too long for the sockets", is: errdefs.IsInvalidArgument},
		"root hidden inside":  {config: stack.Config{Flavor: stack.Stock, Root: "/run/x"}, want: "below /run/", is: errdefs.IsInvalidArgument},
		"root is a file":      {config: stack.Config{Flavor: stack.Stock, Root: file}, want: "not a folder", is: errdefs.IsAlreadyExists},
		"root has other data": {config: stack.Config{Flavor: stack.Stock, Root: foreign}, want: "neither empty nor the root of a stack (it has thesis.tex)", is: errdefs.IsFailedPrecondition},
		"archive over data":   {config: stack.Config{Flavor: stack.Stock, Root: kept, From: file}, want: "has data, and " + file + " would be unpacked over it", is: errdefs.IsAlreadyExists},
		"no archive":          {config: stack.Config{Flavor: stack.Stock, From: dir + "/none"}, want: "no such file"},
		"no parent":           {config: stack.Config{Flavor: stack.Stock, Root: dir + "/a/b"}, want: "has no parent folder"},
		"stack dir missing":   {config: stock, env: "BALEEN_STACK_DIR=" + dir + "/none", want: "has no parent folder"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if key, value, ok := strings.Cut(test.env, "="); ok {
				t.Setenv(key, value)
			}
			s, err := stack.Start(t.Context(), test.config)
			if err == nil {
				stop(t, s)
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want %q", err, test.want)
			}
			if test.is != nil && !test.is(err) {
				t.Errorf("%q is of the wrong class", err)
			}
		})
	}
	for _, path := range []string{filepath.Join(foreign, "thesis.tex"), filepath.Join(kept, "data", "precious")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestRefusedRootNamesItsKeeper(t *testing.T) {
	t.Parallel()
	s := stack.ForTest(t, stock)
	_, err := stack.Start(t.Context(), stack.Config{Flavor: stack.Stock, Root: s.Root()})
	if !errdefs.IsAlreadyExists(err) || !strings.Contains(err.Error(), "in use by a live stack (process ") {
		t.Errorf("got %v", err)
	}
	docker(t, s, "version") // it has not been hurt
}

func TestNeedsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holdEnv+"=check")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "must run as root: sudo make run") {
		t.Errorf("got %q, %v", out, err)
	}
}

func mustWrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
