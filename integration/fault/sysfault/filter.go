package sysfault

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The variables by which an executable knows that it is to become a program
// under the filter of an injector.
const (
	programEnv = "BALEEN_SYSFAULT_PROGRAM"
	socketEnv  = "BALEEN_SYSFAULT_SOCKET"
)

// init becomes the program if this process was started in its place, before
// flags are parsed or tests run.
func init() {
	becomeUnsynced()
	program, socket := os.Getenv(programEnv), os.Getenv(socketEnv)
	if program == "" || filepath.Base(os.Args[0]) != filepath.Base(program) {
		return
	}
	os.Unsetenv(programEnv)
	os.Unsetenv(socketEnv)
	fmt.Fprintln(os.Stderr, become(program, socket))
	os.Exit(125)
}

// become installs the filter on this thread, gives its other end to the
// injector and executes the program. It returns only with an error.
func become(program, socket string) error {
	runtime.LockOSThread() // a filter belongs to a thread
	args := append([]string{program}, os.Args[1:]...)
	environ := os.Environ()
	conn, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("connect to injector: %w", err)
	}
	if err := unix.Connect(conn, &unix.SockaddrUnix{Name: socket}); err != nil {
		return fmt.Errorf("connect to injector at %s: %w", socket, err)
	}
	// From here on a call of the chosen kind waits for an injector that has
	// the filter's other end.
	// A question that has been taken is not put again because of a signal, of
	// which Go's runtime sends many.
	fd, err := install(filter(), unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(conn, []byte{0}, unix.UnixRights(fd), nil, 0); err != nil {
		return fmt.Errorf("hand filter to injector: %w", err)
	}
	if err := unix.Close(fd); err != nil { // it would live on in the program
		return fmt.Errorf("close filter: %w", err)
	}
	return fmt.Errorf("execute %s: %w", program, unix.Exec(program, args, environ))
}

// install puts a filter on this thread and all that it becomes and starts. With
// a listener among the flags it returns the descriptor at which the filter's
// questions are answered.
func install(program []unix.SockFilter, flags uintptr) (int, error) {
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return 0, fmt.Errorf("install seccomp filter: %w", errno)
	}
	return int(fd), nil
}

// filter asks for the calls in shapes and allows all others.
func filter() []unix.SockFilter {
	return answering(slices.Sorted(maps.Keys(shapes)), unix.SECCOMP_RET_USER_NOTIF)
}

// answering is a filter that has one answer for some calls and allows all
// others. Numbers are those of this machine's architecture, as are the
// programs'.
func answering(numbers []int32, answer uint32) []unix.SockFilter {
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // the call's number
	for i, nr := range numbers {
		program = append(program, unix.SockFilter{
			Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
			Jt:   uint8(len(numbers) - i), // to the last line
			K:    uint32(nr),
		})
	}
	return append(program,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: answer},
	)
}

// Available returns why there can be no injector on this machine, or nil.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("a seccomp filter without new privileges needs root")
	}
	action := uint32(unix.SECCOMP_RET_USER_NOTIF)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if errno != 0 {
		return fmt.Errorf("seccomp filters that ask (kernel 5.19 and later): %w", errno)
	}
	// Without a program the kernel says whether it knows the flags.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	_, _, errno = unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, 0)
	if !errors.Is(errno, unix.EFAULT) {
		return fmt.Errorf("seccomp filters that ask (kernel 5.19 and later): %w", errno)
	}
	return nil
}

// notification is the kernel's struct seccomp_notif: a call that waits.
type notification struct {
	id    uint64
	pid   uint32 // of the thread
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// answer is the kernel's struct seccomp_notif_resp.
type answer struct {
	id    uint64
	value int64
	errno int32 // negative
	flags uint32
}

// receive takes a call that waits.
func receive(fd int) (*notification, error) {
	n := new(notification)
	return n, control(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(n))
}

// reply fails a call with errno, or lets it go on if that is 0.
func reply(fd int, id uint64, errno unix.Errno) error {
	a := answer{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if errno != 0 {
		a = answer{id: id, errno: -int32(min(uintptr(errno), math.MaxInt16))}
	}
	return control(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a))
}

func control(fd int, request uintptr, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		if errno == 0 {
			return nil
		}
		if !errors.Is(errno, unix.EINTR) {
			return errno
		}
	}
}
