package settings_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/imageservice/checkpoint/settings"
)

// judged are the structures that a checkpoint has of Docker's, by the first names of
// their paths.
var judged = map[string]reflect.Type{
	"Config":     reflect.TypeFor[moby.ContainerConfig](),
	"HostConfig": reflect.TypeFor[moby.HostConfig](),
	"Networks":   reflect.TypeFor[moby.EndpointSettings](),
}

// ofOneLine are fields that not all engine lines have.
var ofOneLine = []string{"Config.MacAddress", "HostConfig.KernelMemory", "HostConfig.KernelMemoryTCP", "HostConfig.Umask"}

// TestEveryFieldIsJudged: somebody has said of each field of Docker's configuration
// what a checkpoint of somebody else may have in it. One that a new version of
// Docker's brings fails here, and is refused until then.
func TestEveryFieldIsJudged(t *testing.T) {
	rules := settings.Rules()
	seen := map[string]bool{}
	for name, of := range judged {
		everyField(name, of, func(path string, field reflect.StructField, structure bool) bool {
			seen[path] = true
			rule, ok := rules[path]
			switch {
			case !ok:
				t.Errorf("nobody has judged %s (%s)", path, field.Type)
			case structure && !rule.Inner && !rule.Refused:
				t.Errorf("%s is a %s: its fields need rules of their own", path, field.Type)
			case !field.IsExported():
				t.Errorf("%s cannot be judged", path)
			}
			return rule.Inner
		})
	}
	for path := range rules {
		if !seen[path] && !slices.Contains(ofOneLine, path) {
			t.Errorf("there is a rule for %s, and no such field", path)
		}
	}
}

// everyField calls f for all fields of a structure and, where that says so, for
// those of structures in them.
func everyField(path string, of reflect.Type, f func(path string, field reflect.StructField, structure bool) (inner bool)) {
	for i := range of.NumField() {
		field := of.Field(i)
		if field.Anonymous {
			everyField(path, field.Type, f)
			continue
		}
		at := path + "." + field.Name
		in, suffix := structureIn(field.Type)
		if f(at, field, in != nil) && in != nil {
			everyField(at+suffix, in, f)
		}
	}
}

// structureIn is the structure that a type holds, and how a path says that it is an
// element of a list. A structure without a field that others see is a value, like an
// address.
func structureIn(of reflect.Type) (_ reflect.Type, suffix string) {
	switch of.Kind() {
	case reflect.Struct:
		if slices.ContainsFunc(reflect.VisibleFields(of), func(f reflect.StructField) bool { return f.IsExported() }) {
			return of, ""
		}
	case reflect.Pointer:
		return structureIn(of.Elem())
	case reflect.Slice, reflect.Array, reflect.Map:
		in, suffix := structureIn(of.Elem())
		return in, "[]" + suffix
	}
	return nil, ""
}

// described is a checkpoint's part with one field set, or more.
func described(t *testing.T, config, host, networks string) checkpoint.Container {
	t.Helper()
	return checkpoint.Container{
		ID: "1", Config: json.RawMessage(config), HostConfig: json.RawMessage(host), Networks: json.RawMessage(networks),
	}
}

// plainHost is what a daemon gives to a container of which nothing is asked.
func plainHost() *moby.HostConfig {
	no := false
	h := &moby.HostConfig{
		LogConfig: moby.LogConfig{Type: "journald", Config: map[string]string{"tag": "x"}}, IpcMode: "private", CgroupnsMode: "host",
		Runtime: "runc", ShmSize: 64 << 20,
	}
	h.OomKillDisable = &no
	return h
}

func TestReachingIsAskedFor(t *testing.T) {
	for name, test := range map[string]struct{ config, host, networks, want string }{
		"a network by its mode":           {host: `{"NetworkMode":"secret-backend"}`, want: "network secret-backend"},
		"the host's network":              {host: `{"NetworkMode":"host"}`, want: "network host"},
		"another's network":               {host: `{"NetworkMode":"container:db"}`, want: "network container:db"},
		"a network":                       {networks: `{"secret-backend":{}}`, want: "network secret-backend"},
		"the host's network as an object": {networks: `{"host":{}}`, want: "network host"},
		"another runtime":                 {host: `{"Runtime":"weaker"}`, want: "runtime weaker"},
		"privileges to be gained":         {host: `{"SecurityOpt":["no-new-privileges:false"]}`, want: "security option no-new-privileges:false"},
		"a security option":               {host: `{"SecurityOpt":["no-new-privileges","seccomp=unconfined"]}`, want: "security option seccomp=unconfined"},
		"log options without a driver":    {host: `{"LogConfig":{"Config":{"gelf-address":"udp://evil"}}}`, want: "log driver"},
		"a log driver":                    {host: `{"LogConfig":{"Type":"syslog"}}`, want: "log driver syslog"},
		"a log option":                    {host: `{"LogConfig":{"Type":"json-file","Config":{"mode":"non-blocking"}}}`, want: "log option mode=non-blocking"},
		"a billion log files":             {host: `{"LogConfig":{"Type":"local","Config":{"max-file":"1000000000"}}}`, want: "log option max-file=1000000000"},
		"a MAC address":                   {config: `{"MacAddress":"02:42:ac:11:00:02"}`, want: "MAC address 02:42"},
		"a MAC address in a network":      {networks: `{"bridge":{"MacAddress":"02:42:ac:11:00:02"}}`, want: "MAC address 02:42"},
		"sysctls of an endpoint":          {networks: `{"bridge":{"DriverOpts":{"com.docker.network.endpoint.sysctls":"x"}}}`, want: "com.docker.network.endpoint.sysctls"},
		"an address":                      {networks: `{"bridge":{"IPAMConfig":{"IPv4Address":"172.17.0.9"}}}`, want: "address 172.17.0.9"},
		"a link":                          {networks: `{"bridge":{"Links":["db:db"]}}`, want: "link to db:db"},
		"a name":                          {networks: `{"bridge":{"Aliases":["db"]}}`, want: "name db"},
		"a block device":                  {host: `{"BlkioWeightDevice":[{"Path":"/dev/sda","Weight":10}]}`, want: "device /dev/sda"},
		"a block device to read":          {host: `{"BlkioDeviceReadBps":[{"Path":"/dev/sda","Rate":1}]}`, want: "device /dev/sda"},
		"a block device to write":         {host: `{"BlkioDeviceWriteIOps":[{"Path":"/etc/shadow","Rate":1}]}`, want: "device /etc/shadow"},
		"realtime priority":               {host: `{"Ulimits":[{"Name":"rtprio","Hard":99,"Soft":99}]}`, want: "ulimit rtprio"},
		"locked memory":                   {host: `{"Ulimits":[{"Name":"memlock","Hard":-1,"Soft":-1}]}`, want: "ulimit memlock"},
		"realtime":                        {host: `{"CpuRealtimeRuntime":950000}`, want: "realtime"},
		"a realtime period":               {host: `{"CpuRealtimePeriod":1000000}`, want: "realtime"},
		"much CPU time":                   {host: `{"CpuShares":262144}`, want: "262144 shares"},
		"much of the disks":               {host: `{"BlkioWeight":1000}`, want: "weight 1000"},
		"no end":                          {config: `{"StopTimeout":-1}`, want: "-1 seconds"},
		"a late end":                      {config: `{"StopTimeout":1000000000}`, want: "1000000000 seconds"},
		"to be spared":                    {host: `{"OomScoreAdj":-1000}`, want: "to be spared"},
		"not to be killed":                {host: `{"OomKillDisable":true}`, want: "to be spared"},
		"nothing hidden":                  {host: `{"MaskedPaths":[]}`, want: "system paths"},
		"nothing read-only":               {host: `{"ReadonlyPaths":[]}`, want: "system paths"},
		"a folder of the host":            {host: `{"Binds":["/etc:/host"]}`, want: "volume or folder /etc"},
		"a mount of the host":             {host: `{"Mounts":[{"Type":"bind","Source":"/etc","Target":"/x"}]}`, want: "bind of /etc"},
		"a mount of a new kind":           {host: `{"Mounts":[{"Type":"nfs","Source":"x","Target":"/x"}]}`, want: "nfs of x"},
		"a volume":                        {host: `{"Mounts":[{"Type":"volume","Source":"data","Target":"/x"}]}`, want: "volume data"},
		"a volume's driver":               {host: `{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"device":"/"}}}}]}`, want: "driver of a volume"},
		"a volume's folder":               {host: `{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"Subpath":"../.."}}]}`, want: "folder ../.."},
		"a bind as a tmpfs":               {host: `{"Tmpfs":{"/x":"size=1m,rbind"}}`, want: "option rbind of a tmpfs"},
		"a bind in a tmpfs's option":      {host: `{"Mounts":[{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"Options":[["exec","1,rbind"]]}}]}`, want: "option rbind of a tmpfs"},
		"a capability":                    {host: `{"CapAdd":["sys_admin"]}`, want: "capability sys_admin"},
		"all capabilities":                {host: `{"CapAdd":["ALL"]}`, want: "capability ALL"},
		"a device":                        {host: `{"Devices":[{"PathOnHost":"/dev/kvm","PathInContainer":"/dev/kvm"}]}`, want: "device /dev/kvm"},
		"devices of a driver":             {host: `{"DeviceRequests":[{"Driver":"nvidia"}]}`, want: "devices nvidia"},
		"a rule for devices":              {host: `{"DeviceCgroupRules":["a *:* rwm"]}`, want: "rule for devices a *:* rwm"},
		"the host's processes":            {host: `{"PidMode":"host"}`, want: "pid namespace of host"},
		"the host's memory":               {host: `{"IpcMode":"host"}`, want: "ipc namespace of host"},
		"the host's name":                 {host: `{"UTSMode":"host"}`, want: "uts namespace of host"},
		"the host's ids":                  {host: `{"UsernsMode":"host"}`, want: "user namespace of host"},
		"a control group":                 {host: `{"CgroupParent":"/x"}`, want: "control group /x"},
		"another's control group":         {host: `{"Cgroup":"container:x"}`, want: "control group of container:x"},
		"a port":                          {host: `{"PortBindings":{"80/tcp":null}}`, want: "published port 80/tcp"},
		"all ports":                       {host: `{"PublishAllPorts":true}`, want: "all its ports"},
		"a sysctl":                        {host: `{"Sysctls":{"net.ipv4.ip_forward":"1"}}`, want: "sysctl net.ipv4.ip_forward"},
		"an annotation":                   {host: `{"Annotations":{"a":"b"}}`, want: "annotation a"},
		"a storage option":                {host: `{"StorageOpt":{"size":"1g","x":"y"}}`, want: "storage option x"},
		"a text for the terminal":         {host: `{"CapAdd":["\u001b[2J\nok"]}`, want: `capability "\x1b[2J\nok"`},
		"a text without an end":           {host: `{"CapAdd":["` + strings.Repeat("x", 1<<20) + `"]}`, want: "capability " + strings.Repeat("x", 100) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(test.config, "MacAddress") && !hasField[moby.ContainerConfig]("MacAddress") {
				t.Skip("this engine line has no MAC address in a container's configuration")
			}
			c := described(t, orEmpty(test.config), orEmpty(test.host), orEmpty(test.networks))
			asked, err := settings.Asked(c, plainHost())
			if err != nil || len(asked) != 1 || !strings.Contains(asked[0], test.want) || len(asked[0]) > 300 {
				t.Errorf("it asks for %.300q (%v), want %q", asked, err, test.want)
			}
		})
	}
}

func hasField[T any](name string) bool {
	_, ok := reflect.TypeFor[T]().FieldByName(name)
	return ok
}

func orEmpty(object string) string {
	if object == "" {
		return "{}"
	}
	return object
}

// TestCgroupNamespace: the host's is what a daemon gives by default where control
// groups are of version 1.
func TestCgroupNamespace(t *testing.T) {
	c := described(t, "{}", `{"CgroupnsMode":"host"}`, "{}")
	if asked, err := settings.Asked(c, plainHost()); err != nil || len(asked) > 0 {
		t.Errorf("where it is the default: %q, %v", asked, err)
	}
	plain := plainHost()
	plain.CgroupnsMode = "private"
	if asked, err := settings.Asked(c, plain); err != nil || !slices.Equal(asked, []string{"cgroup namespace of host"}) {
		t.Errorf("where it is not: %q, %v", asked, err)
	}
}

// TestOrdinaryNeedsNoTrust: what an ordinary container has is harmless.
func TestOrdinaryNeedsNoTrust(t *testing.T) {
	hidden, err := json.Marshal(moby.DefaultLinuxSpec().Linux.MaskedPaths)
	if err != nil {
		t.Fatal(err)
	}
	readonly, err := json.Marshal(moby.DefaultLinuxSpec().Linux.ReadonlyPaths)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(plainHost())
	if err != nil {
		t.Fatal(err)
	}
	config := `{"Hostname":"a","Domainname":"b","User":"1:2","AttachStdout":true,"Tty":true,"OpenStdin":true,"StdinOnce":true,"ExposedPorts":{"80/tcp":{}},
		"Env":["A=B"],"Cmd":["sh"],"Healthcheck":{"Test":["CMD","true"],"Interval":1000000000,"Retries":3},"Image":"x","Volumes":{"/v":{}},
		"WorkingDir":"/","Entrypoint":["/e"],"OnBuild":["RUN x"],"Labels":{"l":"m"},"StopSignal":"SIGINT","StopTimeout":30,"Shell":["sh"]}`
	host := `{"LogConfig":{"Type":"json-file","Config":{"max-size":"10m","max-file":"3","compress":"true"}},"NetworkMode":"bridge","PortBindings":{},
		"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3},"AutoRemove":true,"ConsoleSize":[24,80],"CapAdd":["NET_BIND_SERVICE","CAP_CHOWN"],
		"CapDrop":["ALL"],"CgroupnsMode":"private","Dns":["1.1.1.1"],"DnsOptions":["ndots:1"],"DnsSearch":["x"],"ExtraHosts":["a:1.2.3.4"],"IpcMode":"shareable",
		"OomScoreAdj":500,"ReadonlyRootfs":true,"SecurityOpt":["no-new-privileges"],"StorageOpt":{"size":"1g"},"Tmpfs":{"/t":"rw,noexec,size=1m","/u":""},
		"ShmSize":1048576,"Runtime":"runc","CpuShares":512,"Memory":67108864,"NanoCpus":1000000000,"BlkioWeight":300,"CpuPeriod":100000,"CpuQuota":50000,
		"CpusetCpus":"0","CpusetMems":"0","MemoryReservation":33554432,"MemorySwap":-1,"MemorySwappiness":0,"OomKillDisable":false,"PidsLimit":100,
		"Ulimits":[{"Name":"nofile","Hard":1024,"Soft":512},{"Name":"core","Hard":0,"Soft":0}],"Binds":["/anonymous"],
		"Mounts":[{"Type":"tmpfs","Target":"/m","TmpfsOptions":{"SizeBytes":1048576,"Mode":511,"Options":[["noexec"]]}},{"Type":"volume","Target":"/n","VolumeOptions":{"NoCopy":true}}],
		"MaskedPaths":` + string(hidden) + `,"ReadonlyPaths":` + string(readonly) + `,"Init":true}`
	for name, c := range map[string]checkpoint.Container{
		"nothing":           described(t, "{}", "{}", "{}"),
		"the daemon's own":  described(t, "{}", string(plain), "{}"),
		"ordinary options":  described(t, config, host, `{"bridge":{"IPAMConfig":{},"GwPriority":1}}`),
		"without a network": described(t, "{}", `{"NetworkMode":"none"}`, `{"none":{}}`),
		"the default":       described(t, "{}", `{"NetworkMode":"default"}`, `{"default":{}}`),
	} {
		if asked, err := settings.Asked(c, plainHost()); err != nil || len(asked) > 0 {
			t.Errorf("%s asks for %q, %v", name, asked, err)
		}
	}
}

// TestManyThingsAskedFor: the refusal stays short.
func TestManyThingsAskedFor(t *testing.T) {
	many, err := json.Marshal(map[string]any{"CapAdd": slices.Repeat([]string{"SYS_ADMIN"}, 30_000)})
	if err != nil {
		t.Fatal(err)
	}
	if asked, err := settings.Asked(described(t, "{}", string(many), "{}"), nil); err != nil || len(settings.List(asked)) > 1000 || !strings.HasSuffix(settings.List(asked), ", and 29980 more") {
		t.Errorf("%d bytes: %.1000s, %v", len(settings.List(asked)), settings.List(asked), err)
	}
}

// TestDefaultsOfAnotherHost: what a daemon gave a container without being asked is not
// asked for on another host, where the kernel shows more CPUs or the daemon logs
// elsewhere.
func TestDefaultsOfAnotherHost(t *testing.T) {
	hidden := moby.DefaultLinuxSpec().Linux
	host, there := *plainHost(), plainHost()
	host.MaskedPaths, host.ReadonlyPaths, host.CapAdd = hidden.MaskedPaths, hidden.ReadonlyPaths, []string{"CHOWN"}
	settings.WithoutDefaults(&host, there)
	want := moby.HostConfig{IpcMode: there.IpcMode, ShmSize: there.ShmSize, CapAdd: []string{"CHOWN"}}
	want.OomKillDisable = there.OomKillDisable
	if !reflect.DeepEqual(host, want) {
		t.Errorf("a checkpoint has %+v, want %+v", host, want)
	}

	throttle := func(cpu string) string { return "/sys/devices/system/cpu/cpu" + cpu + "/thermal_throttle" }
	here := []string{"/proc/kcore", "/sys/firmware", throttle("0"), throttle("1")}
	for _, c := range []struct{ has, want []string }{
		{nil, nil},
		{[]string{}, []string{}},
		{[]string{"/proc/kcore", "/sys/firmware"}, here},
		{[]string{"/proc/kcore", "/sys/firmware", throttle("0")}, here},
		{append(slices.Clone(here), throttle("2")), append(slices.Clone(here), throttle("2"))},
		{[]string{"/proc/kcore", throttle("0")}, []string{"/proc/kcore", throttle("0")}},
	} {
		if got := settings.HiddenHere(c.has, here); !reflect.DeepEqual(got, c.want) {
			t.Errorf("of %q is hidden %#v, want %#v", c.has, got, c.want)
		}
	}
}
