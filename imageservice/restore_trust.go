package imageservice

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	containertypes "github.com/docker/docker/api/types/container"
	mounttypes "github.com/docker/docker/api/types/mount"
	networktypes "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/oci"
)

// labelMadeBy, on the index of a checkpoint in the content store, is the daemon that
// made it. Labels there are containerd's own: none come along with an image.
const labelMadeBy = "io.baleen.checkpoint.made-by"

// trusted checks that a checkpoint of somebody else gives a container nothing that
// an image could not: what is run by its configuration may be anything.
func (r *Restore) trusted(ctx context.Context) error {
	info, err := r.s.content.Info(ctx, r.index)
	if err != nil {
		return fmt.Errorf("look up the checkpoint: %w", err)
	}
	if maker := info.Labels[labelMadeBy]; maker != "" && maker == r.s.owner {
		return nil
	}
	asked := reaches(r.Host, r.Networks)
	if r.Process != nil {
		asked = append(asked, "processes as CRIU has dumped them")
	}
	if len(asked) == 0 {
		return nil
	}
	return fmt.Errorf("it was not made by this daemon, and asks for what reaches out of a container: %s; allow it with --trust if you trust those who made it: %w",
		strings.Join(asked, ", "), errdefs.ErrPermissionDenied)
}

// reaches tells what of a configuration gives a container more than `docker run`
// of an image without options does, but for limits.
func reaches(h *containertypes.HostConfig, networks map[string]*networktypes.EndpointSettings) []string {
	var asked []string
	ask := func(is bool, format string, args ...any) {
		if is {
			asked = append(asked, fmt.Sprintf(format, args...))
		}
	}
	ask(h.Privileged, "to be privileged")
	for _, bind := range h.Binds {
		source, _, _ := strings.Cut(bind, ":")
		ask(strings.Contains(bind, ":"), "volume or folder %s", source)
	}
	for _, m := range h.Mounts {
		ask(m.Type != mounttypes.TypeTmpfs && (m.Type != mounttypes.TypeVolume || m.Source != "" || m.VolumeOptions != nil), "%s %s", m.Type, m.Source)
	}
	for _, from := range h.VolumesFrom {
		ask(true, "volumes of container %s", from)
	}
	ask(h.VolumeDriver != "", "volume driver %s", h.VolumeDriver)
	for _, d := range h.Devices {
		ask(true, "device %s", d.PathOnHost)
	}
	for _, d := range h.DeviceRequests {
		ask(true, "devices of %s", d.Driver)
	}
	ask(len(h.DeviceCgroupRules) > 0, "rules for devices")
	for _, capability := range h.CapAdd {
		ask(true, "capability %s", capability)
	}
	for _, option := range h.SecurityOpt {
		ask(!strings.HasPrefix(option, "no-new-privileges"), "security option %s", option)
	}
	namespaces := map[string]string{
		"network": string(h.NetworkMode), "pid": string(h.PidMode), "ipc": string(h.IpcMode),
		"uts": string(h.UTSMode), "user": string(h.UsernsMode), // cgroup's is the host's by default on version 1
	}
	for _, name := range slices.Sorted(maps.Keys(namespaces)) {
		mode := namespaces[name]
		ask(mode == "host" || strings.HasPrefix(mode, "container:"), "%s namespace of %s", name, mode)
	}
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		ask(name != networktypes.NetworkDefault && name != networktypes.NetworkBridge && name != networktypes.NetworkNone && name != networktypes.NetworkHost, "network %s", name)
	}
	for _, link := range h.Links {
		ask(true, "link to %s", link)
	}
	for _, port := range slices.Sorted(maps.Keys(h.PortBindings)) {
		ask(true, "published port %s", port)
	}
	ask(h.PublishAllPorts, "all its ports published")
	ask(h.CgroupParent != "", "control group %s", h.CgroupParent)
	ask(h.Runtime != "" && h.Runtime != "runc" && h.Runtime != "io.containerd.runc.v2", "runtime %s", h.Runtime)
	ask(h.OomScoreAdj < 0 || h.OomKillDisable != nil && *h.OomKillDisable, "to be spared when memory runs out")
	ask(len(h.GroupAdd) > 0, "groups %s", strings.Join(h.GroupAdd, ", "))
	for _, name := range slices.Sorted(maps.Keys(h.Sysctls)) {
		ask(true, "sysctl %s", name)
	}
	for _, name := range slices.Sorted(maps.Keys(h.Annotations)) {
		ask(true, "annotation %s of the runtime", name)
	}
	ask(!h.Privileged && unmasked(h), "system paths that are hidden otherwise")
	switch h.LogConfig.Type {
	case "", "json-file", "local", "none":
	default:
		ask(true, "log driver %s", h.LogConfig.Type)
	}
	return asked
}

// unmasked reports whether a path of the system is open that is not by default.
func unmasked(h *containertypes.HostConfig) bool {
	missing := func(has, want []string) bool {
		return has != nil && slices.ContainsFunc(want, func(path string) bool { return !slices.Contains(has, path) })
	}
	def := oci.DefaultLinuxSpec().Linux
	return missing(h.MaskedPaths, def.MaskedPaths) || missing(h.ReadonlyPaths, def.ReadonlyPaths)
}
