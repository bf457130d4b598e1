package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// containerdNamespace is where dockerd keeps its things in containerd.
const containerdNamespace = "moby"

// Stack is a running containerd and dockerd. Its methods may be called from
// several goroutines.
type Stack struct {
	root    layout
	bin     string
	config  Config
	initPID int

	// takeDown makes the keeper end the stack, however often it is called.
	takeDown func() error

	mu     sync.Mutex
	flavor Flavor   // what StartDockerd starts
	front  string   // see PutBefore
	within []string // see StartWithin
}

// Start starts a stack and returns when dockerd answers. The caller must Stop
// it. Before, it sweeps up after stacks whose keeper was killed.
func Start(ctx context.Context, config Config) (*Stack, error) {
	root, err := config.chooseRoot()
	if err != nil {
		return nil, err
	}
	if config.From != "" {
		// The keeper's working directory is another.
		if config.From, err = filepath.Abs(config.From); err != nil {
			return nil, fmt.Errorf("find archive %s: %w", config.From, err)
		}
	}
	bin, err := BinDir()
	if err != nil {
		return nil, err
	}
	if err := config.preflight(root, bin); err != nil {
		return nil, err
	}
	if err := Sweep(); err != nil {
		return nil, err
	}
	keeper, err := startKeeper(layout(root), orders{Config: config, Bin: bin})
	if err != nil {
		return nil, fmt.Errorf("start stack %s: %w", root, err)
	}
	rec, err := readRecord(layout(root))
	if err != nil {
		return nil, errors.Join(err, keeper.end())
	}
	s := newStack(layout(root), rec, keeper.end)
	err = s.startDaemons(ctx)
	if err == nil && config.Detach {
		err = keeper.detach()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start stack %s: %w", root, err), s.Kill())
	}
	return s, nil
}

func newStack(root layout, rec *record, end func() error) *Stack {
	return &Stack{
		root: root, bin: rec.Bin, config: rec.Config, flavor: rec.Config.Flavor,
		initPID: rec.InitPID, takeDown: sync.OnceValue(end),
	}
}

func (s *Stack) startDaemons(ctx context.Context) error {
	if err := s.configure(); err != nil {
		return err
	}
	if s.config.Proxy {
		if err := s.StartProxy(ctx); err != nil {
			return err
		}
	}
	if err := s.StartContainerd(ctx); err != nil {
		return err
	}
	return s.StartDockerd(ctx)
}

// Attach returns the live stack of that root, which another process has started
// with Config.Detach. If there is none the error is errdefs.ErrNotFound.
func Attach(root string) (*Stack, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("attach to stack: %w", err)
	}
	l := layout(root)
	rec, err := readRecord(l)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err != nil || rec.InitPID == 0 {
		return nil, errNoStack(root)
	}
	// First the handle, then the check that it is the keeper that holds the
	// lock: so the handle cannot be of another process.
	keeper, err := os.FindProcess(rec.KeeperPID)
	if err != nil {
		return nil, fmt.Errorf("attach to stack %s: %w", root, err)
	}
	live, err := isLive(root)
	if err != nil {
		return nil, err
	}
	if !live {
		return nil, errNoStack(root)
	}
	return newStack(l, rec, func() error { return endAttached(l, keeper) }), nil
}

func errNoStack(root string) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("no stack is running in %s", root))
}

// endAttached asks the keeper, which is not our child, to take the stack down
// and waits until it lets go of the root.
func endAttached(l layout, keeper *os.Process) error {
	if err := keeper.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop keeper of stack %s: %w", l, err)
	}
	deadline := time.Now().Add(initPatience + cgroupPatience)
	for time.Now().Before(deadline) {
		if live, err := isLive(string(l)); err != nil || !live {
			return errors.Join(err, Leftovers(string(l)))
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("keeper %d of stack %s does not end", keeper.Pid, l)
}

// Stop ends dockerd, then containerd, then everything else, and removes what is
// not to be kept. It does all that it can also after an error. Later calls do
// nothing and return the same.
func (s *Stack) Stop(ctx context.Context) error {
	return errors.Join(
		s.stopIfRunning(ctx, Dockerd),
		s.stopIfRunning(ctx, Containerd),
		s.stopIfRunning(ctx, Proxy),
		s.Kill(),
	)
}

// Kill ends everything at once, without asking the daemons, and removes what is
// not to be kept.
func (s *Stack) Kill() error { return s.takeDown() }

// Root returns the folder that holds all of the stack's files.
func (s *Stack) Root() string { return string(s.root) }

// BinDir returns the folder of the programs that the stack was started with, which
// is not that of [BinDir] if another engine line is chosen now.
func (s *Stack) BinDir() string { return s.bin }

// Host returns the DOCKER_HOST of the stack.
func (s *Stack) Host() string { return "unix://" + s.root.dockerSocket() }

// ContainerdAddress returns the path of containerd's socket.
func (s *Stack) ContainerdAddress() string { return s.root.containerdSocket() }

// PutBefore has dockerd reach containerd through another socket from its next
// start on, where a proxy listens. With "" it is containerd's own again.
func (s *Stack) PutBefore(socket string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.front = socket
}

// StartWithin has the daemons start through a command from their next start on,
// which runs the rest of its arguments: nsenter for example. The command must
// become the daemon, and not start it as a child. Without a command they start by
// themselves again.
func (s *Stack) StartWithin(command ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.within = command
}

// ContainerdNamespace returns the containerd namespace of dockerd's images and
// containers.
func (s *Stack) ContainerdNamespace() string { return containerdNamespace }

// DataRoot returns dockerd's data root.
func (s *Stack) DataRoot() string { return s.root.dataRoot() }

// ContainerdRoot returns the folder of containerd's persistent data.
func (s *Stack) ContainerdRoot() string { return s.root.containerdRoot() }

// ClientConfig returns the folder of the docker CLI's configuration and plugins.
func (s *Stack) ClientConfig() string { return s.root.clientConfig() }

// Docker prepares a call of the docker CLI, outside of the namespaces, with a
// client configuration of the stack's own.
func (s *Stack) Docker(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "docker"), args...)
	cmd.Env = s.env()
	cmd.WaitDelay = pipePatience
	return cmd
}

func (s *Stack) env() []string { return s.config.environment(s.root, s.bin) }
