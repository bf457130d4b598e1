package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// The shop is a web server, lighttpd, before a database, PostgreSQL, both from Debian's
// packages. A page lists the orders in the database. Of its three versions the last is bad:
// its web server does not start.
const (
	shop = `FROM debian:workloads
RUN mkdir /shop && echo %[1]d > /shop/version && printf 'colour green\nlimit %[1]d0\n' > /shop/settings
RUN printf '%%s\n' 'server.port = %[2]s' 'server.username = "postgres"' 'server.document-root = "/shop"' \
		'server.modules = ("mod_cgi")' 'cgi.assign = (".cgi" => "")' 'index-file.names = ("page.cgi")' > /shop/lighttpd.conf && \
	printf '%%s\n' '#!/bin/sh' 'printf "Content-Type: text/plain\n\n"' 'cat /shop/version; head -n1 /shop/settings' \
		'psql -Atc "select what from orders order by id" 2>/dev/null || echo no orders' > /shop/page.cgi && \
	printf '%%s\n' '#!/bin/bash' 'if ! { exec 3<>/dev/tcp/127.0.0.1/80; } 2>/dev/null; then echo nobody answers on port 80; exit 1; fi' \
		'printf "GET / HTTP/1.0\r\n\r\n" >&3 && read -r -u 3 _ status _' \
		'if [ "$status" != 200 ]; then echo "the web server answers with status $status"; exit 1; fi' \
		'sed "1,/^\r*$/d" <&3' > /shop/get && \
	printf '%%s\n' '#!/bin/bash' 'cluster=/var/lib/postgresql/15/main' \
		'pg() { runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl -w -D $cluster -l /tmp/pg.log "$@" > /dev/null; }' \
		'trap "pg stop -m fast; exit 0" TERM' 'install -d -o postgres /run/postgresql && rm -f $cluster/postmaster.pid' \
		'pg -o "-c config_file=/etc/postgresql/15/main/postgresql.conf" start || { cat /tmp/pg.log; exit 1; }' \
		'lighttpd -f /shop/lighttpd.conf || exit 1' 'while :; do sleep 0.1; done' > /shop/start && \
	chmod 755 /shop/page.cgi /shop/get /shop/start
ENV SHOP_VERSION=%[1]d
HEALTHCHECK --interval=200ms --start-period=1m --start-interval=100ms --timeout=5s CMD /shop/get
CMD ["/shop/start"]
`
	goodPort, badPort = "80", "eighty"
)

// orders are what the shop of version 1 has in its database.
const orders = "one compass\ntwo harpoons"

// order writes them, as somebody does who uses the database.
const order = `runuser -u postgres -- psql -qc "create table orders (id serial, what text); insert into orders (what) values ('one compass'), ('two harpoons')"`

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
	say("A web server and a database of version 1 run in a container. Rows are written, and the settings are edited")
	if err := s.stack.LoadImages(s.ctx, "debian:workloads"); err != nil {
		return err
	}
	for version, port := range []string{goodPort, goodPort, badPort} {
		if err := s.build(fmt.Sprint("shop:", version+1), fmt.Sprintf(shop, version+1, port)); err != nil {
			return err
		}
	}
	if _, err := s.show("run", "-d", "--name", "shop", "-e", "OWNER=Ishmael", "shop:1"); err != nil {
		return err
	}
	if err := s.shopAnswers(); err != nil {
		return err
	}
	if _, err := s.show("exec", "shop", "sh", "-c", order); err != nil {
		return err
	}
	if _, err := s.show("exec", "shop", "sed", "-i", "s/green/blue/", "/shop/settings"); err != nil {
		return err
	}
	return s.shopIs("1", "shop:1")
}

// shopAnswers waits until the container is healthy.
func (s *story) shopAnswers() error {
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		health, err := s.docker("inspect", "-f", "{{.State.Health.Status}}", "shop")
		if err != nil || health == "healthy" {
			return err
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("the shop is %s after a minute", health)
		}
	}
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
	_, err := s.show("exec", "shop", "/shop/get")
	return err
}

// statusRolledBack is the exit status of an upgrade that was taken back.
const statusRolledBack = 3

func (s *story) badUpgrade() error {
	say("Version 3 is bad: its web server does not start, and the container rolls back by itself")
	out, _, err := s.move(statusRolledBack, "upgrade", "shop", "shop:3")
	switch {
	case err != nil:
		return err
	case !strings.Contains(out, "exited with status 1"):
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
	if _, err := s.show("exec", "shop", "sh", "-c", "rm -r /var/lib/postgresql /bin/ls && echo colour none > /shop/settings"); err != nil {
		return err
	}
	_, back, err := s.move(0, "rollback", "shop", number)
	if err != nil {
		return err
	}
	if err := s.shopIs("2", "shop:2"); err != nil {
		return err
	}
	if _, err := s.docker("exec", "shop", "ls", "/shop"); err != nil {
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

// shopIs checks version and image of the container, that its page shows settings and
// orders, and that it runs with what its user had asked for.
func (s *story) shopIs(version, image string) error {
	if err := s.shopAnswers(); err != nil {
		return err
	}
	got, err := s.docker("exec", "shop", "sh", "-c", "echo $SHOP_VERSION $OWNER && /shop/get")
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%s Ishmael\n%s\ncolour blue\n%s", version, version, orders); got != want {
		return fmt.Errorf("the container has\n%s\nwant\n%s", got, want)
	}
	got, err = s.docker("inspect", "-f", "{{.State.Status}} {{.Config.Image}}", "shop")
	if want := "running " + image; err == nil && got != want {
		return fmt.Errorf("docker inspect says that the container is %q, want %q", got, want)
	}
	return err
}
