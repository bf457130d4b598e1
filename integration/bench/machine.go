package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine returns facts that a reader of the figures wants to know.
func machine(ctx context.Context, dir string) map[string]string {
	facts := map[string]string{
		"cores":     fmt.Sprint(runtime.NumCPU()),
		"go":        runtime.Version(),
		"processor": firstLine("/proc/cpuinfo", "model name"),
		"memory":    firstLine("/proc/meminfo", "MemTotal"),
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		facts["kernel"] = unix.ByteSliceToString(name.Release[:])
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		facts["load before"] = strings.Join(strings.Fields(string(load))[:3], " ")
	}
	for fact, command := range map[string][]string{
		"commit": {"git", "describe", "--always", "--dirty"},
		"podman": {"podman", "--version"},
		"disk":   {"df", "--output=source,fstype", dir},
	} {
		out, err := exec.CommandContext(ctx, command[0], command[1:]...).Output()
		if err == nil {
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			facts[fact] = strings.Join(strings.Fields(lines[len(lines)-1]), " ")
		}
	}
	return facts
}

// firstLine returns the value of the first line "name: value" of a file.
func firstLine(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// describeEngine adds the daemons' versions, and what the docker command adds to
// a request. They are the same in all stacks.
func describeEngine(ctx context.Context, facts map[string]string, d *docker) {
	resp, err := d.api.send(ctx, http.MethodGet, "/version", "", nil)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	var version struct {
		Components []struct{ Name, Version string }
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(text, &version) != nil {
		return
	}
	for _, c := range version.Components {
		facts[strings.ToLower(c.Name)] = c.Version
	}
	var through, direct []time.Duration
	for range 5 {
		began := time.Now()
		if _, err := d.command(ctx, "ps", "--quiet"); err != nil {
			return
		}
		through = append(through, time.Since(began))
		took, err := d.api.timed(ctx, http.MethodGet, "/containers/json", nil)
		if err != nil {
			return
		}
		direct = append(direct, took)
	}
	slices.Sort(through)
	slices.Sort(direct)
	facts["docker command"] = fmt.Sprintf("adds %d ms", (through[2] - direct[2]).Milliseconds())
}
