package checkpoint_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestErrorsAreForTerminals: names that a container or a checkpoint has chosen are in
// errors, and a terminal does not obey them.
func TestErrorsAreForTerminals(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", `touch "$(printf '/.wh.a\033[2Jb\nkept')"`, "--name", "victim")
	out, err := e.Try(t, "commit", id)
	if err == nil || !strings.Contains(out, `.wh.a\x1b[2Jb`) {
		t.Errorf("docker commit: %v, %q", err, out)
	}
	printable(t, "docker commit", out)

	e.Must(t, "exec", id, "sh", "-c", "rm /.wh.*")
	e.MakeCheckpoint(t, id, "victim:1")
	read := e.ReadCheckpoint(t, "victim:1")
	for name, test := range map[string]struct{ part, text, want string }{
		"an environment": {"config", `{"Cmd":["sh"],"Env":["=\u001b[2J\u202e\nkept"]}`, `\x1b[2J`},
		"a network":      {"networks", `{"a\u001b[2J\nkept":{}}`, `\x1b[2J`},
		"a type":         {"hostConfig", `{"Mounts":[{"Type":"\u001b[2J\nkept","Target":"/x"}]}`, `\x1b[2J`},
		"a runtime":      {"hostConfig", `{"Runtime":"\u001b[2J\nkept"}`, `\x1b[2J`},
		"a policy":       {"hostConfig", `{"RestartPolicy":{"Name":"\u001b[2J\nkept"}}`, `x1b[2J`},
	} {
		spoilt(t, e, read, "hostile", test.part, test.text)
		// As others than the plugin get it.
		status, answer := e.Request(t, http.MethodPost, "/checkpoints/restore", `{"Ref":"hostile","Name":"made","CreateOnly":true,"Trust":true}`)
		last := struct{ Error string }{}
		for line := range strings.Lines(answer) {
			if err := json.Unmarshal([]byte(line), &last); err != nil {
				t.Fatalf("%v in %q", err, answer)
			}
		}
		if status != http.StatusOK || !strings.Contains(last.Error, test.want) {
			t.Errorf("%s: %d, %q lacks %q", name, status, last.Error, test.want)
		}
		printable(t, name, last.Error)
	}
}

func printable(t *testing.T, what, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) || strings.Contains(text, "\nkept") {
			t.Errorf("%s prints %q", what, text)
			return
		}
	}
}
