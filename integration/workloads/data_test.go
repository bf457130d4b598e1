package workloads_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
)

// databases starts PostgreSQL, MariaDB and redis, and ends them in order.
const databases = `RUN useradd -r mysql && printf '%s\n' '#!/bin/bash' \
	'pg() { runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl -w -D /var/lib/postgresql/15/main -l /tmp/pg.log "$@" > /dev/null; }' \
	'trap "redis-cli shutdown save; kill \$maria; wait \$maria; pg stop -m fast; exit 0" TERM' \
	'install -d -o postgres /run/postgresql' \
	'mariadbd --no-defaults --user=mysql --datadir=/srv/mysql --socket=/tmp/mysql.sock --skip-networking > /tmp/mysql.log 2>&1 & maria=$!' \
	'pg -o "-c config_file=/etc/postgresql/15/main/postgresql.conf" start || { cat /tmp/pg.log; exit 1; }' \
	'mkdir -p /srv/redis && redis-server --dir /srv/redis --save 3600 1 --daemonize yes > /dev/null' \
	'until redis-cli ping > /dev/null; do sleep 0.1; done' \
	'until mariadb -S /tmp/mysql.sock -e "select 1" > /dev/null 2>&1; do kill -0 $maria || { cat /tmp/mysql.log; exit 1; }; sleep 0.1; done' \
	'echo ready; while :; do sleep 0.1; done' > /start && chmod 755 /start
CMD ["/start"]
`

// brings is a step that brings a state of each program, which the version is in, beside the
// cluster of PostgreSQL, which is Debian's: databases of SQLite, MariaDB and redis, and a
// package of Python.
func brings(version string) string {
	return strings.ReplaceAll(`RUN mkdir -p /srv/sqlite /srv/redis && sqlite3 /srv/sqlite/app.db 'pragma journal_mode=wal; create table t(v); insert into t values (VERSION);' && \
	mariadb-install-db --no-defaults --user=mysql --datadir=/srv/mysql --innodb-log-file-size=4M --skip-test-db --auth-root-authentication-method=normal > /dev/null && \
	redis-server --dir /srv/redis --daemonize yes && until redis-cli set image VERSION; do sleep 0.1; done && redis-cli shutdown save && \
	mkdir /usr/local/lib/python3.11/dist-packages/tool && cd /usr/local/lib/python3.11/dist-packages/tool && echo 'from . import a, b' > __init__.py && echo 'v = VERSION' | tee a.py > b.py && echo VERSION > /etc/version
`, "VERSION", version)
}

// use has every program write. SQLite leaves its last transactions in the log: the database
// itself is the image's. A module is installed by pip beside the package that the image
// brought, which gets a module of its own.
const use = `runuser -u postgres -- psql -qc "create table t as select g as id, md5(g::text) as v from generate_series(1, 5000) as g"
python3 -c 'import os, sqlite3
c = sqlite3.connect("/srv/sqlite/app.db")
c.executemany("insert into t values (?)", [(i,) for i in range(1000)])
c.commit()
os._exit(0)'
[ -s /srv/sqlite/app.db-wal ]
mariadb -S /tmp/mysql.sock -e 'create database app; use app; create table t engine=innodb as select seq as id, md5(seq) as v from seq_1_to_5000; create table log engine=aria as select 1 as id; create user clerk@localhost'
redis-cli set container wrote > /dev/null
redis-cli save > /dev/null
cd /usr/local/lib/python3.11/dist-packages/tool && echo 'from . import c' >> __init__.py && echo 'v = 3' > c.py
mkdir /tmp/extra && cd /tmp/extra && echo 'v = 4' > extra.py
echo 'import setuptools; setuptools.setup(name="extra", version="4.0", py_modules=["extra"])' > setup.py
pip install --quiet --root-user-action=ignore --break-system-packages --no-index --no-build-isolation .`

// holds is what tells that nothing of it is lost, and held what it prints, without the
// package of the image.
const (
	holds = `runuser -u postgres -- psql -Atc "select count(*), count(distinct v), min(id), max(id) from t"
sqlite3 'file:/srv/sqlite/app.db' 'pragma integrity_check; select count(*) from t'
mariadb -S /tmp/mysql.sock -BNe 'check table app.t, app.log, mysql.global_priv extended; select count(*), count(distinct v), min(id), max(id) from app.t; select user from mysql.user where user = "clerk"' | tr '\t' ' '
redis-cli mget image container
cd / && pip list --path /usr/local/lib/python3.11/dist-packages --format freeze && python3 -c 'import tool, extra; print(extra.v, tool.c.v, tool.a.v, tool.b.v)'`
	held = "5000|5000|1|5000\nok\n1001\napp.t check status OK\napp.log check status OK\nmysql.global_priv check status OK\n5000 5000 1 5000\nclerk\n1\nwrote\nextra==4.0\n4 3 "
)

// dataThatAnImageBrought: the new images have not, or have another version of, what the
// container wrote in. Databases lost in updates: containrrr/watchtower#217.
func dataThatAnImageBrought(t *testing.T, e *harness.Env) {
	build(t, e, "data:1", "FROM debian:workloads\n"+databases+brings("1"))
	build(t, e, "data:2", "FROM debian:workloads\n"+databases+"RUN rm -r /var/lib/postgresql/15 && echo 2 > /etc/version\n")
	build(t, e, "data:3", "FROM debian:workloads\n"+databases+brings("3"))
	build(t, e, "data:bad", "FROM data:2\nCMD [\"false\"]\n")
	c := run(t, e, "data", "data:1")
	c.do(t, use)

	plan := wholeIn(e.Must(t, "baleen", "upgrade", "--dry-run", c.name, "data:2"))
	for _, dir := range []string{"/var/lib/postgresql/15 ", "/srv/sqlite ", "/srv/mysql ", "/srv/redis ", "/usr/local/lib/python3.11/dist-packages/tool "} {
		if !strings.Contains(plan, "  "+dir) {
			t.Errorf("the plan does not keep %swhole, but\n%s", dir, plan)
		}
	}
	plan = wholeIn(e.Must(t, "baleen", "upgrade", "--dry-run", "--policy", "/var/lib/postgresql/**=image", c.name, "data:2"))
	if strings.Contains(plan, "  /var/lib/postgresql/15 ") {
		t.Errorf("a policy for the image keeps a cluster whole:\n%s", plan)
	}
	c.upgrade(t, "data:2")
	c.says(t, holds, held+"1 1")
	c.says(t, "cat /etc/version", "2")
	c.failUpgrade(t, "data:bad")
	c.says(t, holds, held+"1 1")
	c.rollback(t, "1")
	c.says(t, holds, held+"1 1")
	// Of a newer version of a database nothing may come in between the container's files.
	c.upgrade(t, "--keep", "/srv/sqlite", "--keep", "/srv/mysql", "data:3")
	c.says(t, holds, held+"3 3")
	c.says(t, "cat /etc/version", "3")
	c.failUpgrade(t, "data:bad")
	c.says(t, holds, held+"3 3")
	c.rollback(t, "1")
	c.says(t, holds, held+"1 1")
	if out, err := e.Try(t, "baleen", "upgrade", "--keep", "/var/lib/nothing", c.name, "data:2"); err == nil || !strings.Contains(out, "/var/lib/nothing") {
		t.Errorf("to keep what is not there gave %v\n%s", err, out)
	}
}

// wholeIn is what a plan keeps whole.
func wholeIn(plan string) string {
	_, plan, _ = strings.Cut(plan, "\nKept whole")
	plan, _, _ = strings.Cut(plan, "\n\n")
	return plan
}

// mergedUsr: an image whose /lib and /sbin are links follows one that had directories
// there, under a container with a volume in /lib and an init in /sbin.
func mergedUsr(t *testing.T, e *harness.Env) {
	const ready = `CMD ["sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done"]` + "\n"
	build(t, e, "usr:1", "FROM busybox\nRUN mkdir -p /lib\n"+ready)
	build(t, e, "usr:2", "FROM busybox\nRUN mkdir -p /usr/lib /usr/sbin && rm -rf /lib /sbin && ln -s usr/lib /lib && ln -s usr/sbin /sbin\n"+ready)
	c := run(t, e, "usr", "--init", "-v", "modules:/lib/modules", "--tmpfs", "/srv/cache", "usr:1")
	e.Must(t, "exec", c.name, "sh", "-c", "echo mod > /lib/modules/mod")
	plan := e.Must(t, "baleen", "upgrade", "--dry-run", c.name, "usr:2")
	if !strings.Contains(plan, "none of the container move along") {
		t.Errorf("the plan is\n%s", plan)
	}
	c.upgrade(t, "usr:2")
	// What it writes in /lib of an image without the link goes to /usr/lib.
	c.rollback(t, "1")
	e.Must(t, "exec", c.name, "sh", "-c", "echo own > /lib/own")
	c.upgrade(t, "usr:2")
	e.MustRead(t, c.name, "/usr/lib/own", "own")
	if got := e.Must(t, "exec", c.name, "sh", "-c", "readlink /lib; readlink /sbin; cat /usr/lib/modules/mod; ls /usr/sbin"); got != "usr/lib\nusr/sbin\nmod\ndocker-init" {
		t.Errorf("the container has %q", got)
	}
}
