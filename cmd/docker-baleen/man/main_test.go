package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/commands"
)

// TestPages: each command has a page with what it does, its usage and its options.
func TestPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if err := run([]string{dir}); err != nil {
		t.Fatal(err)
	}
	cli, err := command.NewDockerCli()
	if err != nil {
		t.Fatal(err)
	}
	baleen := commands.New(cli)
	checkPage(t, filepath.Join(dir, "docker-baleen.1"), baleen)
	for _, cmd := range baleen.Commands() {
		checkPage(t, filepath.Join(dir, "docker-baleen-"+cmd.Name()+".1"), cmd)
	}
	pages, err := os.ReadDir(dir)
	if err != nil || len(pages) != len(baleen.Commands())+1 {
		t.Errorf("there are %d pages (%v)", len(pages), err)
	}
}

func checkPage(t *testing.T, path string, cmd *cobra.Command) {
	t.Helper()
	roff, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(`\-`, "-", `\`, "").Replace(string(roff))
	_, usage, _ := strings.Cut(cmd.UseLine(), cmd.Name())
	usage = strings.TrimSuffix(usage, " [flags]")
	for _, want := range []string{cmd.Short, usage, "SEE ALSO"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s does not have %q:\n%s", filepath.Base(path), want, text)
		}
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && !strings.Contains(text, "--"+f.Name) {
			t.Errorf("%s does not have --%s", filepath.Base(path), f.Name)
		}
	})
}

func TestWhereTo(t *testing.T) {
	for _, args := range [][]string{nil, {"a", "b"}} {
		if err := run(args); err == nil {
			t.Errorf("%q is no error", args)
		}
	}
}
