package checkpoint_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	containertypes "github.com/docker/docker/api/types/container"
	networktypes "github.com/docker/docker/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/integration/bench/procfs"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/hostile"
	"github.com/baleen-project/baleen/integration/stack"
)

// spoilt makes a checkpoint like another, with other text for a part of the
// container's configuration: "config", "hostConfig" or "networks".
func spoilt(t *testing.T, e *harness.Env, of *checkpoint.Checkpoint, name, part, text string) {
	t.Helper()
	var described map[string]json.RawMessage
	e.ReadJSON(t, *of.Container, &described)
	described[part] = json.RawMessage(text)
	putPart(t, e, of, name, described)
}

func putPart(t *testing.T, e *harness.Env, of *checkpoint.Checkpoint, name string, described any) {
	t.Helper()
	text, err := json.Marshal(described)
	if err != nil {
		t.Fatal(err)
	}
	c := *of
	if err := e.Client.ImageService().Delete(e.Context(t), "docker.io/library/"+name+":latest"); err != nil && !errdefs.IsNotFound(err) {
		t.Fatal(err)
	}
	desc := e.PutBlob(t, checkpoint.MediaTypeContainer, text, map[string]string{})
	c.Container = &desc
	putCheckpoint(t, e, &c, name)
}

// hostileConfigs are what checkpoints may say, and what the daemon says to that. "" are
// such as can be restored.
var hostileConfigs = []struct{ part, text, want string }{
	{"hostConfig", `{"Ulimits":[null]}`, "Ulimits: element 0 of a list is null"},
	{"hostConfig", `{"BlkioWeightDevice":[null]}`, "BlkioWeightDevice: element 0"},
	{"hostConfig", `{"BlkioDeviceReadBps":[null]}`, "BlkioDeviceReadBps: element 0"},
	{"hostConfig", `{"Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"Options":[null]}}]}`, "Options: element 0"},
	{"networks", `{"bridge":null}`, `"bridge" is null`},
	{"config", `null`, "is empty"},
	{"hostConfig", `null`, "is empty"},
	{"networks", `null`, ""},
	{"config", `{"Cmd":["sh"],"Healthcheck":{"Test":[]}}`, ""},
	{"config", `{"Cmd":["sh"],"Healthcheck":{"Interval":-1}}`, "Interval in Healthcheck"},
	{"config", `{"Cmd":["sh"],"WorkingDir":"x"}`, "working directory"},
	{"config", `{"Cmd":["sh"],"Env":["=x"]}`, "invalid environment variable"},
	{"config", `{"Cmd":["sh"],"StopSignal":"x"}`, "invalid signal"},
	{"config", `{"Cmd":["sh"],"StopTimeout":1e400}`, "decode the container's configuration"},
	{"config", `{"Cmd":{}}`, "decode the container's configuration"},
	{"config", `[]`, "decode the container's configuration"},
	{"hostConfig", `{"Mounts":[{}]}`, "invalid mount config"},
	{"hostConfig", `{"Mounts":[{"Type":"bind","Source":"/","Target":"/x","VolumeOptions":{}}]}`, "VolumeOptions must not be specified"},
	{"hostConfig", `{"PortBindings":{"x":[{}]}}`, "invalid port"},
	{"hostConfig", `{"Isolation":"hyperv"}`, "invalid isolation"},
	{"hostConfig", `{"IOMaximumBandwidth":1}`, "QoS maximum bandwidth"},
	{"hostConfig", `{"Memory":1}`, "Minimum memory limit"},
	{"hostConfig", `{"NanoCpus":-1}`, "range of CPUs"},
	{"hostConfig", `{"CpusetCpus":"0-18446744073709551615"}`, "pus"},
	{"hostConfig", `{"ShmSize":-1}`, "SHM size"},
	{"hostConfig", `{"Runtime":"none"}`, "unknown or invalid runtime name: none"},
	{"hostConfig", `{"RestartPolicy":{"Name":"x"}}`, "invalid restart policy"},
	{"hostConfig", `{"NetworkMode":"container:"}`, "invalid container format"},
	{"hostConfig", `{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}`, "AutoRemove"},
	{"hostConfig", `{"StorageOpt":{"size":"x"}}`, "size"},
	{"hostConfig", `{"LogConfig":{"Type":"json-file","Config":{"x":"y"}}}`, "unknown log opt"},
	{"hostConfig", `{"PidsLimit":-9223372036854775808,"MemorySwappiness":-1,"Ulimits":[{}]}`, ""},
	{"hostConfig", `{"Mounts":[` + strings.Repeat(`{},`, 5_000_000) + `{}]}`, "more than 4194304 bytes"},
	{"hostConfig", `{"Mounts":[` + strings.Repeat(`{},`, 500_000) + `{}]}`, "more than 50000 values"},
	{"hostConfig", strings.Repeat(`{"Mounts":[`, 100) + strings.Repeat(`]}`, 100), "more than 32 levels"},
}

// TestRestoreHostile: what a checkpoint says is checked before there is anything of
// its container, and never panics the daemon: it is refused, or the container can
// be looked at and removed. Even a checkpoint that is trusted.
func TestRestoreHostile(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Must(t, "create", "--name", "victim", "busybox", "sh")
	e.MakeCheckpoint(t, id, "victim:1")
	read := e.ReadCheckpoint(t, "victim:1")
	pid := e.Pid(stack.Dockerd)
	for i, test := range hostileConfigs {
		t.Run(fmt.Sprintf("%s %.60s", test.part, test.text), func(t *testing.T) {
			name := fmt.Sprintf("hostile%d", i)
			spoilt(t, e, read, name, test.part, test.text)
			refusedOrWhole(t, e, name, test.want)
		})
	}
	if now := e.Pid(stack.Dockerd); now != pid {
		t.Errorf("dockerd was process %d, and is %d", pid, now)
	}
}

// TestRestoreOddLists: in every list and every map of a configuration there may be
// elements that nobody sends.
func TestRestoreOddLists(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Must(t, "create", "--name", "victim", "busybox", "sh")
	e.MakeCheckpoint(t, id, "victim:1")
	read, pid := e.ReadCheckpoint(t, "victim:1"), e.Pid(stack.Dockerd)
	before := e.State(t)
	for part, of := range map[string]reflect.Type{
		"config": reflect.TypeFor[containertypes.Config](), "hostConfig": reflect.TypeFor[containertypes.HostConfig](),
		"networks": reflect.TypeFor[map[string]*networktypes.EndpointSettings](),
	} {
		number := 0
		for _, text := range hostile.Texts(of) {
			if !text.List || !text.Decodes || !oddElement(text.JSON) {
				continue
			}
			number++
			spoilt(t, e, read, "odd", part, text.JSON)
			out, err := e.Try(t, "baleen", "restore", "-q", "--create-only", "--trust", "--name", "made", "odd")
			if strings.Contains(out, "panic") || e.Pid(stack.Dockerd) != pid {
				t.Fatalf("%s %s: %v, %s", part, text.JSON, err, out)
			}
			if err == nil {
				e.Must(t, "inspect", "made")
				e.Must(t, "rm", "-f", "made")
			}
		}
		if number == 0 {
			t.Errorf("of %s nothing was tried", part)
		}
	}
	e.Must(t, "rmi", "odd")
	if left := e.Must(t, "ps", "-a", "--format", "{{.Names}}"); left != "victim" {
		t.Errorf("there are containers %s", left)
	}
	e.Settled(t, before)
}

// oddElement is for what is no null: that never comes so far.
func oddElement(text string) bool {
	for _, value := range []string{`[{}]`, `[""]`, `[[]]`, `{"":{}}`, `{"":""}`, `{"":[]}`} {
		if strings.Contains(text, ":"+value) || strings.HasPrefix(text, value) {
			return true
		}
	}
	return false
}

// refusedOrWhole restores a checkpoint. It is refused with what is wanted, and
// nothing is left, or if that is "" its container can be handled.
func refusedOrWhole(t *testing.T, e *harness.Env, ref, want string) {
	t.Helper()
	before := e.State(t)
	gauge, err := procfs.Start(e.Pid(stack.Dockerd))
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Try(t, "baleen", "restore", "-q", "--create-only", "--trust", "--name", "made", ref)
	if want == "" {
		if err != nil {
			t.Fatalf("it is refused: %s", out)
		}
		e.Must(t, "inspect", "made")
		e.Must(t, "rm", "-f", "made")
	} else if err == nil || !strings.Contains(out, want) || strings.Contains(out, "panic") {
		t.Errorf("restored: %v, %.500s, want an error with %q", err, out, want)
	}
	if left := e.Must(t, "ps", "-a", "--format", "{{.Names}}"); left != "victim" {
		t.Errorf("there are containers %s", left)
	}
	e.Settled(t, before)
	if used, err := gauge.Stop(); err != nil || used.Growth > 64<<20 {
		t.Errorf("the daemon has grown by %d bytes: %v", used.Growth, err)
	}
}

// TestRestoreOfSpoiltParts: also the other parts are checked.
func TestRestoreOfSpoiltParts(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Must(t, "create", "--name", "victim", "busybox", "sh")
	e.MakeCheckpoint(t, id, "victim:1")
	read := e.ReadCheckpoint(t, "victim:1")
	var described map[string]any
	e.ReadJSON(t, *read.Container, &described)
	for name, spoil := range map[string]struct {
		with map[string]any
		want string
	}{
		"id":       {map[string]any{"imageID": `x",name=="busybox`}, "is no digest"},
		"manifest": {map[string]any{"manifest": map[string]any{"digest": "sha256:0", "size": -1}}, "-1 bytes"},
		"image":    {map[string]any{"manifest": nil}, "no image of the container"},
		"name":     {map[string]any{"name": "a/../b"}, ""},
		"volumes":  {map[string]any{"volumes": make([]string, 60_000)}, "more than 50000 values"},
	} {
		part := maps.Clone(described)
		maps.Copy(part, spoil.with)
		putPart(t, e, read, "part-"+name, part)
		refusedOrWhole(t, e, "part-"+name, spoil.want)
	}
	var config map[string]any
	e.ReadJSON(t, *read.Config, &config)
	config["history"] = make([]struct{}, 300_000)
	desc := e.PutJSON(t, ocispec.MediaTypeImageConfig, config)
	read.Config = &desc
	putCheckpoint(t, e, read, "part-config")
	refusedOrWhole(t, e, "part-config", "more than 200000 values")
}
