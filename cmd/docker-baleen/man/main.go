package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/commands"
	"github.com/baleen-project/baleen/compat/version"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("want one argument, the folder to write into")
	}
	cli, err := command.NewDockerCli()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return err
	}
	// Pages are called as people type it: docker-baleen-upgrade.1.
	docker, baleen := &cobra.Command{Use: "docker"}, commands.New(cli)
	docker.AddCommand(baleen)
	docker.DisableAutoGenTag = true // no date of the build in the pages
	for _, cmd := range append(baleen.Commands(), baleen) {
		cmd.DisableFlagsInUseLine = true // "[OPTIONS]" is there
	}
	return doc.GenManTree(baleen, &doc.GenManHeader{Section: "1", Source: "Baleen " + version.Version, Manual: "Docker"}, args[0])
}
