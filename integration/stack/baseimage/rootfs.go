package baseimage

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// imageTime is the modification time of all that is made here, so that a build
// of the same gives the same bytes.
var imageTime = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// tree writes a rootfs as a tar stream. The first error sticks and is returned
// by close.
type tree struct {
	out *tar.Writer
	err error
}

func (t *tree) write(header *tar.Header, content io.Reader) {
	if t.err != nil {
		return
	}
	header.ModTime = imageTime
	header.Format = tar.FormatPAX
	if t.err = t.out.WriteHeader(header); t.err == nil && content != nil {
		_, t.err = io.Copy(t.out, content)
	}
}

func (t *tree) dir(name string, mode int64) {
	t.write(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
}

func (t *tree) file(name string, mode int64, content []byte) {
	t.write(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, bytes.NewReader(content))
}

func (t *tree) hardlink(name, target string) {
	t.write(&tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o755}, nil)
}

// writeTree creates the tar file path with what fill puts into it.
func writeTree(path string, fill func(*tree)) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	t := &tree{out: tar.NewWriter(file)}
	fill(t)
	return errors.Join(t.err, t.out.Close(), file.Close())
}

var (
	busyboxRootfs      = rootfs{name: "busybox", build: buildBusybox("")}
	busyboxGlibcRootfs = rootfs{name: "busybox-glibc", build: buildBusybox("glibc\n")}
	debianRootfs       = rootfs{name: "debian-bookworm-slim", build: buildDebian("bookworm")}
	debianTrixieRootfs = rootfs{name: "debian-trixie-slim", build: buildDebian("trixie")}
	workloadsRootfs    = rootfs{name: workloadsName + nameOf(workloads), former: workloadsName + "*", build: buildDebian("bookworm", workloads...)}
)

// workloads are the packages of programs that upgrades are shown and tested with. One
// image has all of them: it takes more than a minute to make.
var workloads = []string{
	"cron", "lighttpd", "logrotate", "openssh-server", "openssh-client", "procmail", "procps", "sudo",
	"mariadb-server-core", "mariadb-client-core", "postgresql-15", "python3", "python3-pip", "redis-server", "sqlite3",
}

const workloadsName = "debian-workloads"

// nameOf is a suffix for the name of what is made of packages, so that a machine that has
// it of other packages makes it anew.
func nameOf(packages []string) string {
	return "-" + digest.FromString(strings.Join(packages, " ")).Encoded()[:12]
}

func helloRootfs(arch string) rootfs {
	return rootfs{name: "hello-world-" + arch, build: buildHello(arch)}
}

// buildBusybox makes a rootfs of a static busybox and its applets. With variant
// it has a file /etc/variant of that content and so another image ID.
func buildBusybox(variant string) func(ctx context.Context, path, scratch string) error {
	return func(ctx context.Context, path, scratch string) error {
		binary, err := findBusybox(ctx, scratch)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(binary)
		if err != nil {
			return fmt.Errorf("read busybox: %w", err)
		}
		applets, err := exec.CommandContext(ctx, binary, "--list").Output()
		if err != nil {
			return fmt.Errorf("list applets of %s: %w", binary, err)
		}
		return writeTree(path, func(t *tree) {
			for _, dir := range []string{"bin", "dev", "etc", "home", "proc", "root", "sbin", "sys", "usr", "usr/bin", "usr/sbin", "var", "var/spool", "var/spool/mail", "var/www"} {
				t.dir(dir, 0o755)
			}
			t.dir("tmp", 0o1777)
			t.file("bin/busybox", 0o755, content)
			for _, applet := range strings.Fields(string(applets)) {
				if applet != "busybox" {
					// As in the official image. With symbolic links,
					// COPY --from=busybox would copy a link.
					t.hardlink("bin/"+applet, "bin/busybox")
				}
			}
			fillEtc(t)
			if variant != "" {
				t.file("etc/variant", 0o644, []byte(variant))
			}
		})
	}
}

func fillEtc(t *tree) {
	t.file("etc/passwd", 0o644, []byte(`root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
`))
	t.file("etc/group", 0o644, []byte(`root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
mail:x:8:
wheel:x:10:root
www-data:x:33:
operator:x:37:
users:x:100:
nogroup:x:65534:
`))
	t.file("etc/shadow", 0o640, []byte("root:*:20000::::::\nnobody:*:20000::::::\n"))
	t.file("etc/nsswitch.conf", 0o644, []byte("hosts: files dns\n"))
}

// findBusybox returns a statically linked busybox: the machine's, or else the
// one of Debian's package.
func findBusybox(ctx context.Context, scratch string) (string, error) {
	for _, path := range []string{"/bin/busybox", "/usr/bin/busybox"} {
		if isStatic(path) {
			return path, nil
		}
	}
	dir := filepath.Join(scratch, "busybox")
	if err := os.Mkdir(dir, 0o777); err != nil {
		return "", err
	}
	if err := runIn(ctx, dir, "apt-get", "download", "busybox-static"); err != nil {
		return "", fmt.Errorf("no static busybox on this machine, and none from Debian: %w", err)
	}
	packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(packages) != 1 {
		return "", fmt.Errorf("download busybox-static: got %d packages: %w", len(packages), err)
	}
	if err := runIn(ctx, dir, "dpkg-deb", "-x", packages[0], dir); err != nil {
		return "", err
	}
	for _, path := range []string{"bin/busybox", "usr/bin/busybox"} {
		if isStatic(filepath.Join(dir, path)) {
			return filepath.Join(dir, path), nil
		}
	}
	return "", errors.New("the package busybox-static has no static busybox")
}

// isStatic tells whether path is a program that needs no interpreter.
func isStatic(path string) bool {
	file, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	for _, prog := range file.Progs {
		if prog.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

// debianMirrorEnv overrides where debootstrap gets its packages.
const (
	debianMirrorEnv = "BALEEN_DEBIAN_MIRROR"
	debianMirror    = "http://deb.debian.org/debian"
)

// slimmed is what a "slim" image leaves out.
var slimmed = []string{
	"var/cache/apt", "var/lib/apt/lists", "var/log", "var/cache/debconf",
	"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian",
}

func buildDebian(release string, packages ...string) func(ctx context.Context, path, scratch string) error {
	return func(ctx context.Context, path, scratch string) error {
		mirror := os.Getenv(debianMirrorEnv)
		if mirror == "" {
			mirror = debianMirror
		}
		root := filepath.Join(scratch, "debian")
		args := []string{"--variant=minbase", release, root, mirror}
		if len(packages) > 0 {
			args = append([]string{"--include=" + strings.Join(packages, ",")}, args...)
		}
		if err := runIn(ctx, scratch, "debootstrap", args...); err != nil {
			return err
		}
		for _, name := range slimmed {
			if err := empty(filepath.Join(root, name)); err != nil {
				return fmt.Errorf("slim debian: %w", err)
			}
		}
		return runIn(ctx, scratch, "tar", "--create", "--file", path, "--directory", root,
			"--numeric-owner", "--sort=name", "--xattrs", "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", ".")
	}
}

// empty removes what is in a folder.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	return err
}

// runIn runs a program in dir. It has a mount namespace of its own, since
// debootstrap mounts things, and a PID namespace, so that all that it starts
// dies with it, and it with the caller. An error has the end of its output.
func runIn(ctx context.Context, dir, name string, args ...string) error {
	// The kernel sees the death of the thread that started the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL,
	}
	cmd.WaitDelay = 10 * time.Second // for what it has left running
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%s: %w: %s", name, err, strings.Join(lines[max(0, len(lines)-5):], "\n"))
	}
	return nil
}

//go:embed hello/main.go
var helloSource []byte

func buildHello(arch string) func(ctx context.Context, path, scratch string) error {
	return func(ctx context.Context, path, scratch string) error {
		source := filepath.Join(scratch, "main.go")
		if err := os.WriteFile(source, helloSource, 0o644); err != nil {
			return err
		}
		binary := filepath.Join(scratch, "hello")
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", binary, source)
		cmd.Dir = scratch
		cmd.Env = append(os.Environ(), "GO111MODULE=off", "GOFLAGS=", "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build hello-world: %w: %s", err, out)
		}
		content, err := os.ReadFile(binary)
		if err != nil {
			return fmt.Errorf("build hello-world: %w", err)
		}
		return writeTree(path, func(t *tree) { t.file("hello", 0o755, content) })
	}
}
