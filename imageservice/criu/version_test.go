package criu_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/imageservice/criu"
)

// inPath puts a program named criu into the PATH, alone. It prints the version text,
// and for the command check it runs the given line of shell.
func inPath(t *testing.T, version, check string) {
	t.Helper()
	dir := t.TempDir()
	program := "#!/bin/sh\ncase $1 in\n--version) printf '%s\\n' '" + version + "' ;;\ncheck) " + check + " ;;\n*) exit 9 ;;\nesac\n"
	if err := os.WriteFile(filepath.Join(dir, "criu"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		version, check string
		want           api.CheckpointAbility
	}{
		"works":      {"Version: 4.2.1", "exit 0", api.CheckpointAbility{Processes: true, Version: "4.2.1"}},
		"git":        {"Version: 4.2\nGitID: v4.2", "exit 0", api.CheckpointAbility{Processes: true, Version: "4.2"}},
		"no version": {"hello", "exit 0", api.CheckpointAbility{Reason: `criu --version prints "hello\n"`}},
		"cannot": {"Version: 4.2.1", `echo "(00.01) Error (criu/kerndat.c:1): no dirty tracking" >&2; echo "Warn (x): y"; exit 1`,
			api.CheckpointAbility{Version: "4.2.1", Reason: "criu check: exit status 1: no dirty tracking"}},
	} {
		t.Run(name, func(t *testing.T) {
			inPath(t, tc.version, tc.check)
			if got := criu.Check(t.Context()); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		got := criu.Check(t.Context())
		if got.Processes || !strings.Contains(got.Reason, "no program criu") {
			t.Errorf("got %+v", got)
		}
	})
}

func TestCheckRestore(t *testing.T) {
	inPath(t, "Version: 4.2.1", "exit 1")
	for kept, want := range map[string]string{
		"4.2.1": "", "4.2": "", "3.17": "", "4.1.99": "", "": "", "x": "",
		"4.2.2": "CRIU 4.2.2 kept them, and the daemon has 4.2.1", "4.10": "older", "5": "older",
	} {
		err := criu.CheckRestore(t.Context(), kept)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", kept, err, want)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if err := criu.CheckRestore(t.Context(), ""); err == nil {
		t.Error("no error without criu")
	}
}

func TestLogOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dump.log")
	text := "(0.1) Error (a.c:1): one\n(0.2) fine\nError (b.c:2): two \nError (c): three\nError (d): four\nError (e): five\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{
		"runc failed path= " + file + ": exit 1": ": one; two; three; four",
		"runc failed path=" + file:               ": one; two; three; four",
		"path= /nowhere/dump.log":                "",
		"no log":                                 "",
	} {
		if got := criu.LogOf(errors.New(given)); got != want {
			t.Errorf("%s: got %q, want %q", given, got, want)
		}
	}
}
