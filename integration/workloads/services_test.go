package workloads_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
)

// services starts cron and sshd. Cron runs its @reboot jobs once for each /run. A session
// in a container may not set its login id.
const services = `RUN sed -i /pam_loginuid/d /etc/pam.d/cron /etc/pam.d/sshd && printf '%s\n' '#!/bin/bash' 'trap "exit 0" TERM' 'mkdir -p /run/sshd && cron && /usr/sbin/sshd && echo ready' 'while :; do sleep 0.1; done' > /start && chmod 755 /start
CMD ["/start"]
`

// setUp is what an administrator does in the container: a user with a key, a job, rights,
// a log to rotate, a mail, and files of several names.
const setUp = `useradd -m -s /bin/bash app && passwd -d app
install -d -m 700 -o app -g app /home/app/.ssh
ssh-keygen -q -t ed25519 -N '' -f /root/key
install -m 600 -o app -g app /root/key.pub /home/app/.ssh/authorized_keys
echo '@reboot echo ran >> /home/app/ran' | crontab -u app -
echo '@reboot root echo ran >> /var/ran' > /etc/cron.d/own
echo 'app ALL=(root) NOPASSWD: /usr/bin/id' > /etc/sudoers.d/app && chmod 440 /etc/sudoers.d/app
printf '%s\n' '/var/log/app.log {' 'rotate 9' 'create 640 app adm' '}' > /etc/logrotate.d/app
echo first > /var/log/app.log && chown app:adm /var/log/app.log
mkdir /srv/links && echo l > /srv/links/a && ln /srv/links/a /srv/links/b && echo s > /srv/links/single
touch -d '2020-02-02 02:02:02.123456789' /srv/links/single`

// stats tells all of files that nothing writes after setUp.
const stats = `stat -c '%n %F %h %s %y %U:%G %a' /var/spool/cron/crontabs/app /etc/cron.d/own /etc/sudoers.d/app /etc/logrotate.d/app \
	/home/app/.ssh /home/app/.ssh/authorized_keys /root/key /srv/links/*
[ /srv/links/a -ef /srv/links/b ] && ! [ /srv/links/a -ef /srv/links/single ]`

// survivingServices: cron, sshd, sudo, logrotate and a mail spool go on after an upgrade, after
// one that was taken back, and after a rollback. Cron refuses tables of several names, sshd
// keys that others could write, sudo rules of another owner or mode.
// Data in containers that are updated: containrrr/watchtower#476; users that the new
// image lacks: containrrr/watchtower#63 is the like for their environment.
func survivingServices(t *testing.T, e *harness.Env) {
	build(t, e, "services:1", "FROM debian:workloads\n"+services)
	build(t, e, "services:2", "FROM debian:workloads\n"+services+"RUN useradd -r web && echo 2 > /etc/version && echo '# 2' >> /etc/ssh/sshd_config\n")
	build(t, e, "services:bad", "FROM services:2\nRUN echo 3 > /etc/version\nCMD [\"false\"]\n")
	c := run(t, e, "services", "--tmpfs", "/run", "services:1")
	c.do(t, setUp)
	before := c.do(t, stats)
	e.Must(t, "restart", c.name)
	c.ready(t)

	starts := 1
	check := func(when, version string) {
		t.Helper()
		serve(t, c, starts)
		if got := c.do(t, stats); got != before {
			t.Errorf("%s files are\n%s\nand were\n%s", when, got, before)
		}
		c.says(t, "cat /etc/version 2>/dev/null || echo 1", version)
		c.says(t, "getent passwd web >/dev/null && echo 2 || echo 1", version)
	}
	check("at first", "1")
	c.upgrade(t, "services:2")
	starts++
	check("after the upgrade", "2")
	c.failUpgrade(t, "services:bad")
	starts++
	check("after a bad upgrade", "2")
	e.Must(t, "baleen", "snapshot", c.name)
	c.rollback(t, "1")
	starts = 2 // the revision has what was written before the upgrade
	check("after the rollback", "1")
}

// serve uses all services of a container, in which it is the nth time.
func serve(t *testing.T, c *container, n int) {
	t.Helper()
	for _, ran := range []string{"/home/app/ran", "/var/ran"} {
		c.do(t, fmt.Sprintf("for i in {1..100}; do [ $(cat %[1]s 2>/dev/null | wc -l) -lt %[2]d ] || break; sleep 0.1; done; [ $(wc -l < %[1]s) -eq %[2]d ]", ran, n))
	}
	const ssh = "ssh -i /root/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes app@127.0.0.1 "
	c.says(t, ssh+"id -un", "app")
	c.says(t, ssh+"sudo -n id -u", "0")
	c.do(t, fmt.Sprintf("echo line %d >> /var/log/app.log; logrotate -f /etc/logrotate.d/app", n))
	c.says(t, "cat /var/log/app.log.1 | tail -n1; stat -c %U:%G:%a /var/log/app.log", fmt.Sprintf("line %d\napp:adm:640", n))
	c.do(t, fmt.Sprintf("printf 'From root\\nSubject: %d\\n\\nbody\\n\\n' | procmail -d app", n))
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("Subject: %d", i+1))
	}
	c.says(t, "grep ^Subject: /var/mail/app; stat -c '%U %h' /var/mail/app", strings.Join(append(want, "app 1"), "\n"))
}
