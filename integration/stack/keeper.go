package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// orders is what the starter writes to the keeper's standard input: first the
// stack's description, and perhaps later leave to outlive the starter.
type orders struct {
	Config Config
	Bin    string
	Detach bool
}

// report is what the keeper tells its starter: once when the init is ready or
// has failed, and once more if the removal was not complete.
type report struct {
	Error string
}

// keeper owns a stack's root. See the package comment.
type keeper struct {
	root    layout
	rec     record
	orders  *json.Decoder
	reports *json.Encoder

	lock    *os.File
	home    membership
	cgroups membership
	init    *exec.Cmd
	// initDone is closed when the init, and with it every process of the
	// stack, is gone.
	initDone chan struct{}
}

// keeperMain expects the root as its argument, orders on standard input and a
// pipe for reports as descriptor 3.
func keeperMain(args []string) error {
	if len(args) != 1 {
		return errors.New("want the stack's root as the only argument")
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM)
	signal.Ignore(unix.SIGINT, unix.SIGHUP, unix.SIGPIPE)

	k := &keeper{
		root:    layout(args[0]),
		orders:  json.NewDecoder(os.Stdin),
		reports: json.NewEncoder(inheritedFile(3, "reports")),
	}
	var first orders
	if err := k.orders.Decode(&first); err != nil {
		return fmt.Errorf("read orders: %w", err)
	}
	k.rec = record{Config: first.Config, Bin: first.Bin, KeeperPID: os.Getpid()}

	err := k.start()
	if err == nil {
		_ = k.reports.Encode(report{}) // if the starter is gone, wait will tell
		logf("stack %s is up, its init is process %d", k.root, k.rec.InitPID)
		k.wait(stop)
	} else {
		logf("%v", err)
		_ = k.reports.Encode(report{Error: err.Error()})
	}
	if err := k.takeDown(); err != nil {
		logf("%v", err)
		_ = k.reports.Encode(report{Error: err.Error()})
		return exitStatus(1)
	}
	return nil
}

func logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05.000 ")+format+"\n", args...)
}

// start makes root, cgroups and init. What it made is taken down by takeDown,
// also when it failed half-way.
func (k *keeper) start() error {
	lock, err := claimRoot(k.root)
	if err != nil {
		return err
	}
	k.lock = lock
	if err := k.clearRoot(); err != nil {
		return err
	}
	if err := k.rec.write(k.root); err != nil {
		return err
	}
	for _, dir := range []string{k.root.volatile(), k.root.tmp()} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("prepare stack root: %w", err)
		}
	}
	if err := logTo(k.root.keeperLog()); err != nil {
		return err
	}
	if k.rec.Config.From != "" {
		if err := k.root.unpack(k.rec.Config.From); err != nil {
			return err
		}
	}
	if err := k.startInit(); err != nil {
		return err
	}
	return k.rec.write(k.root)
}

// clearRoot removes what a killed stack has left, and of a kept one what is of
// no use.
func (k *keeper) clearRoot() error {
	old, err := readRecord(k.root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := removeCgroups(k.root.cgroup()); err != nil {
		return err
	}
	if err != nil || !old.Config.KeepRoot {
		entries, err := os.ReadDir(string(k.root))
		if err != nil {
			return fmt.Errorf("clear stack root: %w", err)
		}
		for _, entry := range entries {
			if err := os.RemoveAll(filepath.Join(string(k.root), entry.Name())); err != nil {
				return fmt.Errorf("clear stack root: %w", err)
			}
		}
	}
	return removeFiles(k.root, true)
}

// logTo sends the standard output and error of this process, and of the init
// later, to a file. The starter's must not be held open: `go test` waits until
// nobody has them.
func logTo(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer file.Close()
	for _, fd := range []int{1, 2} {
		if err := unix.Dup3(int(file.Fd()), fd, 0); err != nil {
			return fmt.Errorf("redirect to %s: %w", path, err)
		}
	}
	return nil
}

// startInit starts the init from within the stack's cgroups, for a cgroup
// namespace begins where its first process is, and goes back to where it was.
func (k *keeper) startInit() error {
	var err error
	if k.home, _, err = currentCgroups("self"); err != nil {
		return err
	}
	if k.cgroups, err = makeCgroups(k.root.cgroup()); err != nil {
		return err
	}
	gate, openGate, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start init: %w", err)
	}
	defer openGate.Close()
	answer, ready, err := os.Pipe()
	if err != nil {
		gate.Close()
		return fmt.Errorf("start init: %w", err)
	}
	defer answer.Close()

	cmd := roleCommand(roleInit, string(k.root))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{gate, ready}
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
			unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
		Pdeathsig: unix.SIGKILL,
	}
	err = k.cgroups.join()
	if err == nil {
		err = cmd.Start()
	}
	err = errors.Join(err, k.home.join())
	gate.Close()
	ready.Close()
	if cmd.Process != nil {
		k.watchInit(cmd)
	}
	if err != nil {
		return fmt.Errorf("start init: %w", err)
	}
	return k.awaitInit(openGate, answer)
}

func (k *keeper) watchInit(cmd *exec.Cmd) {
	k.init, k.initDone = cmd, make(chan struct{})
	k.rec.InitPID = cmd.Process.Pid
	go func() {
		logf("init ended: %v", cmd.Wait())
		close(k.initDone)
	}()
}

// awaitInit lets the init begin and reads from answer how it went.
func (k *keeper) awaitInit(openGate io.Writer, answer io.Reader) error {
	if _, err := openGate.Write([]byte{1}); err != nil {
		return fmt.Errorf("start init: %w", err)
	}
	var rep report
	if err := json.NewDecoder(answer).Decode(&rep); err != nil {
		return fmt.Errorf("start init: no answer: %w", err)
	}
	if rep.Error != "" {
		return fmt.Errorf("start init: %s", rep.Error)
	}
	return nil
}

// wait returns when the stack is to be taken down: on SIGTERM, or when the
// starter is gone and had not detached the stack.
func (k *keeper) wait(stop <-chan os.Signal) {
	abandoned := make(chan struct{})
	go func() {
		var next orders
		for k.orders.Decode(&next) == nil {
			if next.Detach {
				logf("detached")
				return
			}
		}
		close(abandoned)
	}()
	select {
	case <-abandoned:
		logf("the starter is gone")
	case <-stop:
		logf("asked to stop")
	}
}

// takeDown ends and removes everything. It goes on after an error, to leave as
// little as possible.
func (k *keeper) takeDown() error {
	if k.lock == nil {
		return nil // nothing is ours
	}
	var errs []error
	if k.init != nil {
		errs = append(errs, k.killInit())
	}
	if len(k.cgroups) > 0 {
		errs = append(errs, removeCgroups(k.root.cgroup()))
	}
	errs = append(errs, removeFiles(k.root, k.rec.Config.KeepRoot))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take down stack %s: %w", k.root, err)
	}
	return nil
}

// initPatience is how long the processes of a stack may take to die.
const initPatience = 30 * time.Second

func (k *keeper) killInit() error {
	deadline := time.After(initPatience)
	_ = k.init.Process.Kill() // fails only if it has ended already
	for {
		thawAll(k.cgroups)
		select {
		case <-k.initDone:
			return nil
		case <-deadline:
			return fmt.Errorf("init %d has not died within %v", k.rec.InitPID, initPatience)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
