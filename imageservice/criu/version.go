package criu

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/baleen-project/baleen/compat/api"
)

// Check tells whether processes can be kept and restored. It asks the criu in the
// PATH of this process, which is assumed to be containerd's too.
func Check(ctx context.Context) api.CheckpointAbility {
	version, err := Version(ctx)
	if err != nil {
		return api.CheckpointAbility{Reason: err.Error()}
	}
	if out, err := exec.CommandContext(ctx, "criu", "check").CombinedOutput(); err != nil {
		return api.CheckpointAbility{Version: version, Reason: fmt.Sprintf("criu check: %v: %s", err, errorLines(string(out)))}
	}
	return api.CheckpointAbility{Processes: true, Version: version}
}

var versionLine = regexp.MustCompile(`(?m)^Version: (\S+)`)

// Version returns the version of the criu in the PATH of this process, "4.2.1".
func Version(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "criu", "--version").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("there is no program criu in the daemon's PATH, which keeps processes")
	}
	if err != nil {
		return "", fmt.Errorf("criu --version: %w", err)
	}
	found := versionLine.FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("criu --version prints %.100q", out)
	}
	return string(found[1]), nil
}

// CheckRestore returns an error if processes that CRIU of the version kept dumped
// cannot be restored here: a dump can be read by the same version and by newer ones.
func CheckRestore(ctx context.Context, kept string) error {
	version, err := Version(ctx)
	if err != nil {
		return err
	}
	if older(version, kept) {
		return fmt.Errorf("CRIU %s kept them, and the daemon has %s, which is older", kept, version)
	}
	return nil
}

// older compares versions such as 4.2.1. A part that is no number counts as 0.
func older(a, b string) bool {
	return slices.Compare(numbers(a), numbers(b)) < 0
}

func numbers(version string) (parts []int) {
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part)
		parts = append(parts, n)
	}
	return parts
}
