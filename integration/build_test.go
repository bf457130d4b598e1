package integration_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestClassicBuild builds with the classic builder, whose steps are commits.
func TestClassicBuild(t *testing.T) {
	e := newEnv(t, stack.Config{DaemonConfig: map[string]any{"experimental": true}}, "busybox")
	for name, test := range map[string]func(*testing.T, *env){
		"steps":       buildSteps,
		"cache":       buildCache,
		"stages":      buildStages,
		"failed step": buildFails,
		"squash":      buildSquash,
	} {
		t.Run(name, func(t *testing.T) {
			before := e.state(t)
			test(t, e)
			before.snapshots, before.images = nil, nil
			after := e.state(t)
			after.snapshots, after.images = nil, nil
			if err := before.compare(after); err != nil {
				t.Error(err)
			}
			if left := e.docker(t, "ps", "-aq"); left != "" {
				t.Errorf("containers are left: %s", left)
			}
		})
	}
}

func buildSteps(t *testing.T, e *env) {
	out, err := e.build(t, `FROM busybox
LABEL stage=one
ENV NAME=whale
RUN echo $NAME > /name && rm /etc/group
COPY file /copied
USER 7
RUN id -u > /tmp/id
CMD cat /name /copied /tmp/id
`, "-t", "steps")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := e.docker(t, "run", "--rm", "steps"); got != "whale\nfrom the context\n7" {
		t.Errorf("the image prints %q", got)
	}
	img := e.image(t, e.inspect(t, "steps", "{{.Id}}"))
	if n := len(img.manifest.Layers); n != 4 { // the base's, two RUNs, COPY
		t.Errorf("the image has %d layers", n)
	}
	var empty int
	for _, h := range img.config.History {
		if h.EmptyLayer {
			empty++
		}
	}
	if empty != 4 { // LABEL, ENV, USER, CMD
		t.Errorf("%d history entries are empty: %+v", empty, img.config.History)
	}
	if img.config.Config.Labels["stage"] != "one" || img.config.Config.User != "7" {
		t.Errorf("the config is %+v", img.config.Config)
	}
}

func buildCache(t *testing.T, e *env) {
	const dockerfile = "FROM busybox\nLABEL cached=yes\nRUN echo cached > /cached\nCOPY file /copied\nCMD [\"cat\", \"/cached\"]\n"
	first, err := e.build(t, dockerfile, "-t", "cached:1")
	if err != nil {
		t.Fatalf("%v\n%s", err, first)
	}
	if strings.Contains(first, "Using cache") {
		t.Errorf("the first build used a cache:\n%s", first)
	}
	second, err := e.build(t, dockerfile, "-t", "cached:2")
	if err != nil {
		t.Fatalf("%v\n%s", err, second)
	}
	if n := strings.Count(second, "Using cache"); n != 4 {
		t.Errorf("%d of 4 steps were cached:\n%s", n, second)
	}
	if a, b := e.inspect(t, "cached:1", "{{.Id}}"), e.inspect(t, "cached:2", "{{.Id}}"); a != b {
		t.Errorf("the cached build made image %s, the first %s", b, a)
	}
}

func buildStages(t *testing.T, e *env) {
	out, err := e.build(t, `FROM busybox AS maker
RUN mkdir /out && echo made > /out/thing && ln -s thing /out/link
FROM busybox
COPY --from=maker /out /in
RUN cat /in/link > /result
`, "-t", "stages")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := e.docker(t, "run", "--rm", "stages", "cat", "/result"); got != "made" {
		t.Errorf("the result is %q", got)
	}
}

func buildFails(t *testing.T, e *env) {
	out, err := e.build(t, "FROM busybox\nRUN echo kept > /kept\nRUN exit 3\n", "--force-rm")
	if err == nil || !strings.Contains(out, "returned a non-zero code: 3") {
		t.Errorf("got %v\n%s", err, out)
	}
}

// buildSquash: as in Moby, squashing is not there on the containerd store. The
// build fails at its end, and says so.
func buildSquash(t *testing.T, e *env) {
	out, err := e.build(t, "FROM busybox\nRUN echo a > /a\n", "--squash", "-t", "squashed")
	if err == nil || !strings.Contains(out, "build without --squash") {
		t.Errorf("got %v\n%s", err, out)
	}
}
