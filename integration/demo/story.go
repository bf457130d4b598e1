package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/baleen-project/baleen/integration/stack"
)

// story tells and checks one step after the other.
type story struct {
	ctx   context.Context
	stack *stack.Stack
}

// changes is what the container does to its file system.
const changes = `echo "hello, whale" > /greeting
rm /etc/issue
chmod 700 /srv
chown 1000:1000 /opt
mkdir -p /var/lib/app && date > /var/lib/app/started`

// proof prints what must be seen in the committed image.
const proof = `cat /greeting; ls /etc/issue 2>&1; stat -c '%n %a %u:%g' /srv /opt`

const proven = `hello, whale
ls: cannot access '/etc/issue': No such file or directory
/srv 700 0:0
/opt 755 1000:1000`

// tell is the main job: a container writes, deletes, changes mode and owner;
// it is committed, and a new container has it all.
func (s *story) tell() error {
	for _, step := range []func() error{s.change, s.diff, s.commit, s.prove, s.look} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) change() error {
	say("A container writes, deletes, changes a mode and an owner")
	fmt.Println("    $ docker run -d --name work app sh -c '…'")
	for _, line := range strings.Split(changes, "\n") {
		fmt.Println("          " + line)
	}
	_, err := s.docker("run", "-d", "--name", "work", app.Name, "sh", "-ec", changes+"\ntouch /tmp/done\nexec sleep infinity")
	if err != nil {
		return err
	}
	_, err = s.docker("exec", "work", "sh", "-c", "until [ -e /tmp/done ]; do sleep 0.05; done; rm /tmp/done")
	return err
}

func (s *story) diff() error {
	say("What it changed")
	out, err := s.show("diff", "work")
	if err != nil {
		return err
	}
	for _, line := range []string{"A /greeting", "D /etc/issue", "C /srv", "C /opt", "A /var/lib/app/started"} {
		if !strings.Contains("\n"+out+"\n", "\n"+line+"\n") {
			return fmt.Errorf("docker diff does not say %q", line)
		}
	}
	return nil
}

func (s *story) commit() error {
	say("Commit it while it runs")
	if _, err := s.show("commit", "-m", "first words", "-a", "Ishmael", "work", "app:greeting"); err != nil {
		return err
	}
	status, err := s.show("inspect", "-f", "{{.State.Status}}", "work")
	if err == nil && status != "running" {
		return fmt.Errorf("after the commit the container is %s", status)
	}
	return err
}

func (s *story) prove() error {
	say("A new container from the image has it all")
	out, err := s.show("run", "--rm", "app:greeting", "sh", "-c", proof+" || true")
	if err == nil && out != proven {
		return fmt.Errorf("the image's content is not the container's; want\n%s", proven)
	}
	return err
}

func (s *story) look() error {
	say("The image")
	if _, err := s.show("history", "--format", "table {{.ID}}\t{{.Size}}\t{{.Comment}}", "app:greeting"); err != nil {
		return err
	}
	_, err := s.show("image", "inspect", "-f", "author {{.Author}}, parent {{.Parent}}\n{{range .RootFS.Layers}}layer {{.}}\n{{end}}", "app:greeting")
	return err
}

// docker runs the CLI and returns what it prints on standard output, also when it
// fails. What it prints on standard error is in the error.
func (s *story) docker(args ...string) (string, error) {
	return docker(s.ctx, s.stack, args...)
}

// show is docker for the reader to see.
func (s *story) show(args ...string) (string, error) {
	fmt.Println("    $ docker " + quote(args))
	out, err := s.docker(args...)
	indent(out)
	return out, err
}

// indent prints what a command has printed.
func indent(out string) {
	for line := range strings.Lines(out) {
		fmt.Println("      " + strings.TrimRight(line, "\n"))
	}
}

func docker(ctx context.Context, s *stack.Stack, args ...string) (string, error) {
	cmd := s.Docker(ctx, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", quote(args), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimRight(string(out), "\n"), err
}

// quote shows arguments as one would type them.
func quote(args []string) string {
	shown := make([]string, len(args))
	for i, a := range args {
		shown[i] = a
		if strings.ContainsAny(a, " \t\n;|$'\"{}()<>*?&\\") {
			shown[i] = "'" + strings.NewReplacer("'", `'\''`, "\n", `\n`, "\t", `\t`).Replace(a) + "'"
		}
	}
	return strings.Join(shown, " ")
}

func say(text string) {
	bold, plain := "", ""
	if info, err := os.Stdout.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" {
		bold, plain = "\033[1m", "\033[0m"
	}
	fmt.Printf("\n%s==> %s%s\n", bold, text, plain)
}
