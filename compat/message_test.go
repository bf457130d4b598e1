package compat_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baleen-project/baleen/compat"
)

// TestErrorsAreForPeople: an error names a container once, by its short id, and ends with
// what is wrong instead of the name of a class.
func TestErrorsAreForPeople(t *testing.T) {
	id, other := strings.Repeat("0123456789ab", 5)+"cdef", strings.Repeat("f", 64)
	gone := fmt.Errorf("revision 9 of container %s does not exist, or has been pruned: %w", id, cerrdefs.ErrNotFound)
	class := func(code codes.Code, text string) error { return errgrpc.ToNative(status.Error(code, text)) }
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"id and class":           {fmt.Errorf("rollback container %s: %w", id, gone), "rollback container 0123456789ab: revision 9 does not exist, or has been pruned"},
		"a name before":          {fmt.Errorf("prune revisions of container %s: container %s: it is running: %w", id, id, cerrdefs.ErrFailedPrecondition), "prune revisions of container 0123456789ab: it is running"},
		"two containers":         {fmt.Errorf("container %s: its network is that of container %s", id, other), "container 0123456789ab: its network is that of container ffffffffffff"},
		"a command to type":      {fmt.Errorf("container %s: use ctr tasks delete %s", id, id), "container 0123456789ab: use ctr tasks delete " + id},
		"an image's id":          {fmt.Errorf("upgrade container %s to sha256:%s: no", id, other), "upgrade container 0123456789ab to sha256:" + other + ": no"},
		"only an object":         {fmt.Errorf("read: content sha256:%s: %w", other, cerrdefs.ErrNotFound), "read: content sha256:" + other + ": not found"},
		"of containerd":          {fmt.Errorf("look: %w", class(codes.NotFound, "snapshot a does not exist: not found")), "look: snapshot a does not exist"},
		"an object, containerd":  {fmt.Errorf("look: %w", class(codes.NotFound, `image "a": not found`)), `look: image "a": not found`},
		"two causes":             {fmt.Errorf("merge: %w: %w", errors.New("no layers of their own"), cerrdefs.ErrNotImplemented), "merge: no layers of their own"},
		"not a class":            {errors.New("the file was not found: not found"), "the file was not found: not found"},
		"permission":             {fmt.Errorf("open the file x: %w", cerrdefs.ErrPermissionDenied), "open the file x: permission denied"},
		"the last of two errors": {errors.Join(errors.New("a"), fmt.Errorf("it is still running: %w", cerrdefs.ErrConflict)), "a\n  it is still running"},
	} {
		err := compat.DockerError(test.err)
		if err.Error() != test.want {
			t.Errorf("%s: %q, want %q", name, err, test.want)
		}
		if cerrdefs.IsNotFound(test.err) != cerrdefs.IsNotFound(err) {
			t.Errorf("%s: the class is lost", name)
		}
		if again := compat.DockerError(fmt.Errorf("again: %w", err)).Error(); again != "again: "+test.want {
			t.Errorf("%s: wrapped again it is %q", name, again)
		}
	}
}
