package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// The shop is an application of three versions, the last of which is bad. It
// ends as soon as it is told to.
const (
	shop = `FROM app
RUN mkdir -p /shop && echo %[1]d > /shop/version && printf 'colour green\nlimit %[1]d0\n' > /shop/settings
ENV SHOP_VERSION=%[1]d
HEALTHCHECK --interval=100ms --retries=3 --timeout=5s CMD %[2]s
CMD ["bash", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
`
	healthy = `test -s /shop/version`
	sick    = `echo cannot reach the till; false`
)

// orders are what version 1 of the shop has written.
const orders = "one compass\ntwo harpoons"

// revise tells and checks what becomes of a container that has data: it
// moves to a new image, comes back from a bad one by itself, and goes back when
// it is told to.
func (s *story) revise() error {
	for _, step := range []func() error{s.openShop, s.planUpgrade, s.upgrade, s.badUpgrade, s.rewind, s.rewindStopped, s.history} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) openShop() error {
	say("An application of version 1 writes data into its own container, and its settings are edited")
	for version, check := range []string{healthy, healthy, sick} {
		if err := s.build(fmt.Sprint("shop:", version+1), fmt.Sprintf(shop, version+1, check)); err != nil {
			return err
		}
	}
	if _, err := s.show("run", "-d", "--name", "shop", "-e", "OWNER=Ishmael", "shop:1"); err != nil {
		return err
	}
	_, err := s.show("exec", "shop", "sh", "-c", "mkdir /orders && echo one compass > /orders/1 && echo two harpoons > /orders/2 && sed -i s/green/blue/ /shop/settings")
	return err
}

// build makes an image by the classic builder, which every docker has.
func (s *story) build(name, dockerfile string) error {
	cmd := s.stack.Docker(s.ctx, "build", "-q", "-t", name, "-")
	cmd.Env = append(cmd.Env, "DOCKER_BUILDKIT=0")
	cmd.Stdin = strings.NewReader(dockerfile)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("docker build -t %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (s *story) planUpgrade() error {
	say("What would an upgrade to version 2 do? Nothing is done yet")
	out, err := s.show("baleen", "upgrade", "--dry-run", "shop", "shop:2")
	if err == nil && !strings.Contains(out, "/shop/settings") {
		return errors.New("the plan does not tell that both sides changed /shop/settings")
	}
	return err
}

func (s *story) upgrade() error {
	say("Upgrade it in place")
	if _, _, err := s.move(0, "upgrade", "-m", "to version 2", "shop", "shop:2"); err != nil {
		return err
	}
	if err := s.shopIs("2", "shop:2"); err != nil {
		return err
	}
	fmt.Println("    The container is the same, it runs version 2, and its orders and settings are there:")
	_, err := s.show("exec", "shop", "sh", "-c", "head /shop/version /orders/* /shop/settings; echo $OWNER")
	return err
}

// statusRolledBack is the exit status of an upgrade that was taken back.
const statusRolledBack = 3

func (s *story) badUpgrade() error {
	say("Version 3 is bad: its health check fails, and the container rolls back by itself")
	out, _, err := s.move(statusRolledBack, "upgrade", "shop", "shop:3")
	switch {
	case err != nil:
		return err
	case !strings.Contains(out, "cannot reach the till"):
		return errors.New("the upgrade does not say why it was rolled back")
	}
	fmt.Printf("    (exit status %d)\n", statusRolledBack)
	return s.shopIs("2", "shop:2")
}

func (s *story) rewind() error {
	say("Keep a state, do damage, and rewind by hand; the container runs before and after")
	number, kept, err := s.timed("snapshot", "-q", "-m", "two orders", "shop")
	if err != nil {
		return err
	}
	if _, err := s.show("exec", "shop", "sh", "-c", "rm -r /orders /bin/ls && echo colour none > /shop/settings"); err != nil {
		return err
	}
	_, back, err := s.move(0, "rollback", "shop", number)
	if err != nil {
		return err
	}
	if err := s.shopIs("2", "shop:2"); err != nil {
		return err
	}
	if _, err := s.docker("exec", "shop", "ls", "/orders"); err != nil {
		return err
	}
	fmt.Printf("    All is there again. The snapshot took %.0f ms, the rewind %.0f ms with the end and the start of the process.\n", ms(kept), ms(back))
	return nil
}

// rewindStopped times what a sandbox does between two steps.
func (s *story) rewindStopped() error {
	say("The same while it is stopped: nothing is copied")
	if _, err := s.docker("stop", "shop"); err != nil {
		return err
	}
	number, kept, err := s.timed("snapshot", "-q", "shop")
	if err != nil {
		return err
	}
	_, back, err := s.timed("rollback", "-q", "shop", number)
	if err != nil {
		return err
	}
	fmt.Printf("    The snapshot took %.0f ms, the rewind %.0f ms (of the docker command).\n", ms(kept), ms(back))
	if _, err := s.docker("start", "shop"); err != nil {
		return err
	}
	return s.shopIs("2", "shop:2")
}

func (s *story) history() error {
	say("All that can be gone back to, version 1 too")
	if _, err := s.show("baleen", "revisions", "shop"); err != nil {
		return err
	}
	if _, _, err := s.move(0, "rollback", "shop", "1"); err != nil {
		return err
	}
	return s.shopIs("1", "shop:1")
}

// timed shows a command of docker baleen and returns what it prints and the
// time that it took.
func (s *story) timed(args ...string) (string, time.Duration, error) {
	began := time.Now()
	out, err := s.show(append([]string{"baleen"}, args...)...)
	return out, time.Since(began), err
}

// move shows a command of docker baleen with all that it says meanwhile, and
// checks its exit status.
func (s *story) move(status int, args ...string) (string, time.Duration, error) {
	args = append([]string{"baleen"}, args...)
	fmt.Println("    $ docker " + quote(args))
	began := time.Now()
	out, err := s.stack.Docker(s.ctx, args...).CombinedOutput()
	took := time.Since(began)
	text := strings.TrimSpace(string(out))
	indent(text)
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		return text, took, fmt.Errorf("docker %s: %w", quote(args), err)
	}
	if got != status {
		return text, took, fmt.Errorf("docker %s ended with status %d, want %d", quote(args), got, status)
	}
	return text, took, nil
}

// shopIs checks version and image of the container, that settings and orders are
// there, and that it runs with what its user had asked for.
func (s *story) shopIs(version, image string) error {
	got, err := s.docker("exec", "shop", "sh", "-c", "cat /shop/version; echo $SHOP_VERSION $OWNER; head -n1 /shop/settings; cat /orders/*")
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%s\n%s Ishmael\ncolour blue\n%s", version, version, orders); got != want {
		return fmt.Errorf("the container has\n%s\nwant\n%s", got, want)
	}
	got, err = s.docker("inspect", "-f", "{{.State.Status}} {{.Config.Image}}", "shop")
	if want := "running " + image; err == nil && got != want {
		return fmt.Errorf("docker inspect says that the container is %q, want %q", got, want)
	}
	return err
}
