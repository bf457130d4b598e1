package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// releases matches what dockerd may call its version. It stands in an argument of
// the linker.
var releases = regexp.MustCompile(`^[0-9][0-9A-Za-z.+~-]*$`)

// releaseOf returns the release of Moby that dockerd names as its version: the pinned
// one, that of -release, or for a tree in a folder what its repository's tags say. A
// tree without tags is an error: the pinned release would be wrong.
func (m *maker) releaseOf(ctx context.Context) (string, error) {
	if m.source == "" {
		return m.pin.Release, nil
	}
	if m.release != "" {
		return m.release, nil
	}
	// Moby 29's tags are like docker-v29.8.1, earlier ones like v28.5.2. Its modules
	// have tags of their own.
	out, err := runGit(ctx, m.source, nil, "describe", "--tags", "--match=docker-v*", "--match=v2[0-8].*")
	if err != nil {
		return "", fmt.Errorf("find the release of Moby in %s: give it with -release: %w", m.source, err)
	}
	release := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(string(out)), "docker-"), "v")
	if !releases.MatchString(release) {
		return "", fmt.Errorf("%q in %s is no release of Moby: give it with -release", release, m.source)
	}
	return release, nil
}
