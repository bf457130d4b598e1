package integration_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestUserNamespaces creates, changes and commits containers whose ids are
// shifted (dockerd --userns-remap).
func TestUserNamespaces(t *testing.T) {
	const shift = "daemon:100000:65536\n"
	e := newEnv(t, stack.Config{
		Etc:          map[string]string{"subuid": shift, "subgid": shift},
		DaemonConfig: map[string]any{"userns-remap": "daemon"},
	}, "busybox")

	// The image has what changing owners loses: setuid, and a file of two names.
	out, err := e.build(t, `FROM busybox
RUN cp /bin/busybox /setuid && chmod 4755 /setuid && echo l > /one && ln /one /two && chown 5:6 /one
`, "-t", "base")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const look = `stat -c '%n %a %u:%g %h' /setuid /one /two /bin/sh /new 2>/dev/null; test /one -ef /two && echo linked`
	const base = "/setuid 4755 0:0 1\n/one 644 5:6 2\n/two 644 5:6 2\n"

	id := e.run(t, "base", "echo new > /new; chown 7:8 /new; rm /etc/group")
	got := e.docker(t, "exec", id, "sh", "-c", look)
	if !strings.HasPrefix(got, base) || !strings.Contains(got, "/new 644 7:8 1") || !strings.HasSuffix(got, "linked") {
		t.Errorf("in the container\n%s", got)
	}
	if changes := e.docker(t, "diff", id); changes != "C /etc\nD /etc/group\nA /new" {
		t.Errorf("docker diff prints\n%s", changes)
	}
	image := e.docker(t, "commit", id)
	if after := e.docker(t, "run", "--rm", image, "sh", "-c", look+"; ls /etc/group 2>&1 || true"); after != got+"\nls: /etc/group: No such file or directory" {
		t.Errorf("in the image\n%s\nin the container\n%s", after, got)
	}
	if n := e.inspect(t, image, "{{len .RootFS.Layers}}"); n != "3" {
		t.Errorf("the image has %s layers", n)
	}
	untouched := e.docker(t, "commit", e.docker(t, "create", "base"))
	if n := e.inspect(t, untouched, "{{len .RootFS.Layers}}"); n != "2" {
		t.Errorf("the image of an untouched container has %s layers", n)
	}
}
