package settings

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/baleen-project/baleen/compat/moby"
)

// harmless is what an image could ask for as well, or what only limits a container.
var harmless = rule{}

// inner is for structures whose fields have rules of their own.
var inner = rule{inner: true}

// rules say what a checkpoint of somebody else may ask for, for every field of the
// configuration of a container, by its path. A field that is not here must be zero. Some
// fields are of one engine line only.
var rules = map[string]rule{
	// What runs in the container is up to the checkpoint.
	"Config.Hostname":     harmless,
	"Config.Domainname":   harmless,
	"Config.User":         harmless,
	"Config.AttachStdin":  harmless,
	"Config.AttachStdout": harmless,
	"Config.AttachStderr": harmless,
	"Config.ExposedPorts": harmless, // published by HostConfig alone
	"Config.Tty":          harmless,
	"Config.OpenStdin":    harmless,
	"Config.StdinOnce":    harmless,
	"Config.Env":          harmless,
	"Config.Cmd":          harmless,
	"Config.Healthcheck":  inner,
	"Config.ArgsEscaped":  harmless,
	"Config.Image":        harmless, // the name that docker ps shows
	"Config.Volumes":      harmless, // new ones
	"Config.WorkingDir":   harmless,
	"Config.Entrypoint":   harmless,
	"Config.OnBuild":      harmless,
	"Config.Labels":       harmless,
	"Config.StopSignal":   harmless,
	"Config.Shell":        harmless,
	// It has less then.
	"Config.NetworkDisabled": harmless,
	"Config.MacAddress":      refused("MAC address %v"),
	// The end of the daemon waits as long, too.
	"Config.StopTimeout": when(func(j *judging, seconds *int) {
		if *seconds < 0 || *seconds > 600 {
			j.ask("%v seconds until it is stopped", *seconds)
		}
	}),

	"Config.Healthcheck.Test":          harmless,
	"Config.Healthcheck.Interval":      harmless,
	"Config.Healthcheck.Timeout":       harmless,
	"Config.Healthcheck.StartPeriod":   harmless,
	"Config.Healthcheck.StartInterval": harmless,
	"Config.Healthcheck.Retries":       harmless,

	"HostConfig.Binds": when(func(j *judging, binds []string) {
		for _, bind := range binds {
			if source, _, named := strings.Cut(bind, ":"); named { // else a new volume
				j.ask("volume or folder %v", source)
			}
		}
	}),
	"HostConfig.ContainerIDFile":                 refused("container ID file %v"),
	"HostConfig.LogConfig":                       {judge: when(judgeLog).judge, inner: true},
	"HostConfig.LogConfig.Type":                  harmless, // for judgeLog
	"HostConfig.LogConfig.Config":                harmless, // for judgeLog
	"HostConfig.NetworkMode":                     when(func(j *judging, mode moby.NetworkMode) { judgeNetwork(j, string(mode)) }),
	"HostConfig.PortBindings":                    refusedEach("published port %v"),
	"HostConfig.RestartPolicy":                   inner,
	"HostConfig.RestartPolicy.Name":              harmless,
	"HostConfig.RestartPolicy.MaximumRetryCount": harmless,
	"HostConfig.AutoRemove":                      harmless,
	"HostConfig.VolumeDriver":                    refused("volume driver %v"),
	"HostConfig.VolumesFrom":                     refusedEach("volumes of container %v"),
	"HostConfig.ConsoleSize":                     harmless,
	"HostConfig.Annotations":                     refusedEach("annotation %v of the runtime"),

	"HostConfig.CapAdd":          when(judgeCapabilities),
	"HostConfig.CapDrop":         harmless,
	"HostConfig.CgroupnsMode":    oneOf("cgroup namespace of %v", "private"),
	"HostConfig.DNS":             harmless,
	"HostConfig.DNSOptions":      harmless,
	"HostConfig.DNSSearch":       harmless,
	"HostConfig.ExtraHosts":      harmless, // lines of its /etc/hosts
	"HostConfig.GroupAdd":        refusedEach("group %v"),
	"HostConfig.IpcMode":         oneOf("ipc namespace of %v", "private", "shareable", "none"),
	"HostConfig.Cgroup":          refused("control group of %v"),
	"HostConfig.Links":           refusedEach("link to %v"),
	"HostConfig.OomScoreAdj":     upTo(0, 1000, "to be spared when memory runs out (%v)"),
	"HostConfig.PidMode":         oneOf("pid namespace of %v"),
	"HostConfig.Privileged":      refused("to be privileged"),
	"HostConfig.PublishAllPorts": refused("all its ports published"),
	"HostConfig.ReadonlyRootfs":  harmless,
	"HostConfig.SecurityOpt": when(func(j *judging, options []string) {
		for _, option := range options {
			if !slices.Contains([]string{"no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"}, option) {
				j.ask("security option %v", option)
			}
		}
	}),
	"HostConfig.StorageOpt": when(func(j *judging, options map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(options)) {
			if name != "size" { // a limit
				j.ask("storage option %v", name)
			}
		}
	}),
	"HostConfig.Tmpfs": when(func(j *judging, mounts map[string]string) {
		for _, path := range slices.Sorted(maps.Keys(mounts)) {
			judgeTmpfs(j, strings.Split(mounts[path], ","))
		}
	}),
	"HostConfig.UTSMode":       oneOf("uts namespace of %v"),
	"HostConfig.UsernsMode":    oneOf("user namespace of %v"),
	"HostConfig.ShmSize":       harmless, // it counts as the container's memory
	"HostConfig.Sysctls":       refusedEach("sysctl %v"),
	"HostConfig.Runtime":       refused("runtime %v"),
	"HostConfig.Isolation":     oneOf("isolation %v", "default"),
	"HostConfig.Mounts":        {judge: when(judgeMounts).judge, inner: true},
	"HostConfig.MaskedPaths":   when(judgeHidden(func() []string { return moby.DefaultLinuxSpec().Linux.MaskedPaths })),
	"HostConfig.ReadonlyPaths": when(judgeHidden(func() []string { return moby.DefaultLinuxSpec().Linux.ReadonlyPaths })),
	"HostConfig.Init":          harmless,
	"HostConfig.Umask":         harmless, // a process can set its own

	// Mounts of judgeMounts: empty ones, and new volumes.
	"HostConfig.Mounts[].Type":                   harmless,
	"HostConfig.Mounts[].Source":                 refused("volume %v"),
	"HostConfig.Mounts[].Target":                 harmless,
	"HostConfig.Mounts[].ReadOnly":               harmless,
	"HostConfig.Mounts[].Consistency":            harmless,
	"HostConfig.Mounts[].BindOptions":            refused("options of a bind mount"),
	"HostConfig.Mounts[].VolumeOptions":          inner,
	"HostConfig.Mounts[].ImageOptions":           refused("options of an image mount"),
	"HostConfig.Mounts[].TmpfsOptions":           inner,
	"HostConfig.Mounts[].ClusterOptions":         refused("options of a cluster's volume"),
	"HostConfig.Mounts[].TmpfsOptions.SizeBytes": harmless,
	"HostConfig.Mounts[].TmpfsOptions.Mode":      harmless,
	"HostConfig.Mounts[].TmpfsOptions.Options": when(func(j *judging, options [][]string) {
		for _, option := range options {
			judgeTmpfs(j, strings.Split(strings.Join(option, "="), ","))
		}
	}),

	"HostConfig.Mounts[].VolumeOptions.NoCopy":       harmless,
	"HostConfig.Mounts[].VolumeOptions.Labels":       harmless, // of a new volume
	"HostConfig.Mounts[].VolumeOptions.Subpath":      refused("folder %v of a volume"),
	"HostConfig.Mounts[].VolumeOptions.DriverConfig": refused("driver of a volume"),

	// Limits. What gives a container more than others have is none.
	"HostConfig.CPUShares":            upTo(0, 1024, "more CPU time than others (%v shares)"),
	"HostConfig.Memory":               harmless,
	"HostConfig.NanoCPUs":             harmless,
	"HostConfig.CgroupParent":         refused("control group %v"),
	"HostConfig.BlkioWeight":          upTo(0, 500, "more of the disks than others (weight %v)"),
	"HostConfig.BlkioWeightDevice":    refusedEach("weight of device %v"),
	"HostConfig.BlkioDeviceReadBps":   refusedEach("limit of device %v"),
	"HostConfig.BlkioDeviceWriteBps":  refusedEach("limit of device %v"),
	"HostConfig.BlkioDeviceReadIOps":  refusedEach("limit of device %v"),
	"HostConfig.BlkioDeviceWriteIOps": refusedEach("limit of device %v"),
	"HostConfig.CPUPeriod":            harmless,
	"HostConfig.CPUQuota":             harmless,
	"HostConfig.CPURealtimePeriod":    refused("a realtime period of the CPU"),
	"HostConfig.CPURealtimeRuntime":   refused("realtime on the CPU"),
	"HostConfig.CpusetCpus":           harmless,
	"HostConfig.CpusetMems":           harmless,
	"HostConfig.Devices":              refusedEach("device %v"),
	"HostConfig.DeviceCgroupRules":    refusedEach("rule for devices %v"),
	"HostConfig.DeviceRequests":       refusedEach("devices %v"),
	"HostConfig.KernelMemory":         harmless,
	"HostConfig.KernelMemoryTCP":      harmless,
	"HostConfig.MemoryReservation":    harmless,
	"HostConfig.MemorySwap":           harmless,
	"HostConfig.MemorySwappiness":     harmless,
	"HostConfig.OomKillDisable": when(func(j *judging, disable *bool) {
		if *disable {
			j.ask("to be spared when memory runs out")
		}
	}),
	"HostConfig.PidsLimit":          harmless,
	"HostConfig.Ulimits":            inner,
	"HostConfig.Ulimits[].Name":     oneOf("ulimit %v", "as", "core", "cpu", "data", "fsize", "nofile", "nproc", "rss", "stack"),
	"HostConfig.Ulimits[].Hard":     harmless, // the kernel's fs.nr_open bounds nofile
	"HostConfig.Ulimits[].Soft":     harmless,
	"HostConfig.CPUCount":           refused("a number of CPUs, as on Windows"),
	"HostConfig.CPUPercent":         refused("percent of the CPUs, as on Windows"),
	"HostConfig.IOMaximumIOps":      refused("a bound of its disk, as on Windows"),
	"HostConfig.IOMaximumBandwidth": refused("a bound of its disk, as on Windows"),

	// Endpoints of the default networks. What the daemon has chosen for one is not
	// in a checkpoint.
	"Networks.IPAMConfig":              inner,
	"Networks.IPAMConfig.IPv4Address":  refused("address %v"),
	"Networks.IPAMConfig.IPv6Address":  refused("address %v"),
	"Networks.IPAMConfig.LinkLocalIPs": refusedEach("address %v"),
	"Networks.Links":                   refusedEach("link to %v"),
	"Networks.Aliases":                 refusedEach("name %v in a network"),
	"Networks.MacAddress":              refused("MAC address %v"),
	"Networks.DriverOpts":              refusedEach("option %v of a network's driver"),
	"Networks.GwPriority":              harmless,
	"Networks.NetworkID":               refused("network %v"),
	"Networks.EndpointID":              refused("endpoint %v of a network"),
	"Networks.Gateway":                 refused("gateway %v"),
	"Networks.IPAddress":               refused("address %v"),
	"Networks.IPPrefixLen":             refused("an address of %v bits"),
	"Networks.IPv6Gateway":             refused("gateway %v"),
	"Networks.GlobalIPv6Address":       refused("address %v"),
	"Networks.GlobalIPv6PrefixLen":     refused("an address of %v bits"),
	"Networks.DNSNames":                refusedEach("name %v in a network"),
}

// refused is for a value that must be empty. The format may show it.
func refused(format string) rule {
	return rule{refused: true, judge: func(j *judging, _ string, v reflect.Value) {
		switch {
		case (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0:
		case strings.Contains(format, "%"):
			j.ask(format, v.Interface())
		default:
			j.ask("%v", format)
		}
	}}
}

// refusedEach is refused for a list or a map, of which each element is told; of a
// map its key.
func refusedEach(format string) rule {
	return rule{refused: true, judge: func(j *judging, _ string, v reflect.Value) {
		var all []string
		if v.Kind() == reflect.Map {
			for _, key := range v.MapKeys() {
				all = append(all, fmt.Sprint(key.Interface()))
			}
			slices.Sort(all)
		} else {
			for i := range v.Len() {
				all = append(all, describe(v.Index(i)))
			}
		}
		for _, one := range all {
			j.ask(format, one)
		}
	}}
}

// describe tells one element of a list: a structure by its first text, which is a
// path or the name of a driver.
func describe(v reflect.Value) string {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct && v.NumField() > 0 && v.Field(0).Kind() == reflect.String {
		v = v.Field(0)
	}
	return fmt.Sprint(v.Interface())
}

// oneOf is for a text that must be one of these, or "".
func oneOf(format string, allowed ...string) rule {
	return rule{judge: func(j *judging, _ string, v reflect.Value) {
		if !slices.Contains(allowed, v.String()) {
			j.ask(format, v.String())
		}
	}}
}

// upTo is for a number that must be in a range.
func upTo(least, most int64, format string) rule {
	return rule{judge: func(j *judging, _ string, v reflect.Value) {
		var n int64
		if v.CanUint() {
			n = int64(min(v.Uint(), 1<<62))
		} else {
			n = v.Int()
		}
		if n < least || n > most {
			j.ask(format, strconv.FormatInt(n, 10))
		}
	}}
}

// when is for values that a function judges.
func when[T any](judge func(j *judging, v T)) rule {
	return rule{judge: func(j *judging, _ string, v reflect.Value) {
		judge(j, v.Convert(reflect.TypeFor[T]()).Interface().(T))
	}}
}

// judgeNetwork allows the daemon's own networks, which need no name.
func judgeNetwork(j *judging, name string) {
	switch name {
	case moby.NetworkModeDefault, moby.NetworkModeBridge, moby.NetworkModeNone:
	default:
		j.ask("network %v", name)
	}
}

// logOptions are those of the drivers that write files of the daemon's. A number
// must not be over the most: the daemon renames as many files at each rotation.
var logOptions = map[string]int{
	"max-size": 0, "max-file": 1000, "compress": 0, "labels": 0, "labels-regex": 0, "env": 0, "env-regex": 0, "tag": 0,
}

// judgeLog allows files. Options without a driver are for the daemon's own, which
// may be any.
func judgeLog(j *judging, c moby.LogConfig) {
	j.fields("HostConfig.LogConfig", reflect.ValueOf(c), reflect.Value{})
	switch c.Type {
	case "json-file", "local", "none":
	default:
		if c.Type != "" || len(c.Config) > 0 {
			j.ask("log driver %v", c.Type)
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.Config)) {
		most, known := logOptions[name]
		if n, err := strconv.Atoi(c.Config[name]); !known || most > 0 && (err != nil || n > most) {
			j.ask("log option %v", name+"="+c.Config[name])
		}
	}
}

// judgeCapabilities allows those that every container has.
func judgeCapabilities(j *judging, add []string) {
	for _, capability := range add {
		name := "CAP_" + strings.TrimPrefix(strings.ToUpper(capability), "CAP_")
		if !slices.Contains(moby.DefaultLinuxSpec().Process.Capabilities.Bounding, name) {
			j.ask("capability %v", capability)
		}
	}
}

// tmpfsOptions are those of mounts of nothing but memory.
var tmpfsOptions = []string{
	"", "defaults", "ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "sync", "async", "atime", "noatime",
	"diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
	"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks",
}

func judgeTmpfs(j *judging, options []string) {
	for _, option := range options {
		if name, _, _ := strings.Cut(option, "="); !slices.Contains(tmpfsOptions, name) {
			j.ask("option %v of a tmpfs", option)
		}
	}
}

// judgeMounts allows what is empty, and new volumes.
func judgeMounts(j *judging, mounts []moby.Mount) {
	for _, m := range mounts {
		switch m.Type {
		case moby.MountTypeTmpfs, moby.MountTypeVolume:
			j.fields("HostConfig.Mounts[]", reflect.ValueOf(m), reflect.Value{})
		default:
			j.ask("%v of %v", m.Type, m.Source)
		}
	}
}

// judgeHidden is for the paths of the system that are hidden from containers, of
// which none must be missing.
func judgeHidden(byDefault func() []string) func(j *judging, paths []string) {
	return func(j *judging, paths []string) {
		if slices.ContainsFunc(byDefault(), func(path string) bool { return !slices.Contains(paths, path) }) {
			j.ask("system paths that are hidden otherwise")
		}
	}
}
