package commands_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/commands"
)

var (
	typed  = regexp.MustCompile("docker baleen ([^`\\n]*)")
	option = regexp.MustCompile(`^--?[a-z][a-z-]*`)
)

// TestPagesNameCommands: the README and the pages of docs name commands and options that
// there are, and every command.
func TestPagesNameCommands(t *testing.T) {
	docker, err := command.NewDockerCli()
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range typed.FindAllStringSubmatch(string(text), -1) {
			line, _, _ := strings.Cut(m[1], " #")
			line, _, _ = strings.Cut(line, ";")
			words := strings.Fields(line)
			if len(words) == 0 || words[0] == "COMMAND" {
				continue
			}
			// Each time anew, since the command keeps what was parsed.
			cmd, _, err := commands.New(docker).Find(words[:1])
			if err != nil || !cmd.HasParent() {
				t.Errorf("%s: docker baleen %s: there is no such command (%v)", page, line, err)
				continue
			}
			checkOptions(t, page, cmd, words[1:])
			named[cmd.Name()] = true
		}
	}
	for _, cmd := range commands.New(docker).Commands() {
		if !named[cmd.Name()] {
			t.Errorf("no page names docker baleen %s", cmd.Name())
		}
	}
}

// checkOptions looks up the options among the words of a command line.
func checkOptions(t *testing.T, page string, cmd *cobra.Command, words []string) {
	t.Helper()
	cmd.InitDefaultHelpFlag()
	for _, word := range words {
		given := option.FindString(word)
		name := strings.TrimLeft(given, "-")
		known := len(given)-len(name) == 2 && cmd.Flags().Lookup(name) != nil || len(name) == 1 && cmd.Flags().ShorthandLookup(name) != nil
		if given != "" && !known {
			t.Errorf("%s: docker baleen %s has no option %s", page, cmd.Name(), given)
		}
	}
}

// pages are the README and the pages of docs.
func pages(t *testing.T) []string {
	t.Helper()
	root := filepath.Join("..", "..", "..", "..")
	found, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(found) == 0 {
		t.Fatalf("found no pages: %v", err)
	}
	return append(found, filepath.Join(root, "README.md"))
}
