//go:build go1.25

// The language version of this file is that of testing/synctest.

package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baleen-project/baleen/compat/api"
)

// courses are moves that go different ways when nothing fails.
var courses = []struct {
	name    string
	prepare func(w *world)
	move    func(ctx context.Context, w *world, tell func(api.Progress)) error
}{
	{"an upgrade", func(*world) {}, upgrade},
	{"an upgrade that is taken back", func(w *world) { w.ifNew(func() { w.later(time.Second/3, exit(7)) }) }, upgrade},
	{"a rollback", func(*world) {}, func(ctx context.Context, w *world, tell func(api.Progress)) error {
		return w.ops.Rollback(ctx, "web", api.RollbackRequest{}, tell)
	}},
}

func upgrade(ctx context.Context, w *world, tell func(api.Progress)) error {
	return w.ops.Upgrade(ctx, "web", api.UpgradeRequest{}, tell)
}

// everywhere makes each move once for each call of a role. prepare is given the number of
// the call at which something happens, before anything is done, and check what has become
// of it.
func everywhere(t *testing.T, prepare func(w *world, n int), act func(ctx context.Context, w *world, move func(context.Context) error) error, check func(w *world, err error, result *api.Result)) {
	t.Helper()
	for _, course := range courses {
		for n, reached := 1, true; reached; n++ {
			t.Run(fmt.Sprintf("%s, call %d", course.name, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, true)
					w.to.Volumes = map[string]struct{}{"/data": {}}
					course.prepare(w)
					prepare(w, n)
					var result *api.Result
					err := act(t.Context(), w, func(ctx context.Context) error {
						return course.move(ctx, w, func(p api.Progress) { result = p.Result })
					})
					synctest.Wait()
					if reached = len(w.calls) >= n; reached {
						t.Logf("%s: %v, %+v", w.calls[n-1], err, result)
						check(w, err, result)
					}
				})
			})
		}
	}
}

// Each call of a role fails, one in each move.
func TestMovesWhereEachCallFails(t *testing.T) {
	var failed string
	everywhere(t, func(w *world, n int) {
		w.at = func(now int) error {
			if now != n {
				return nil
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			failed = w.calls[n-1]
			return errFault
		}
	}, func(ctx context.Context, _ *world, move func(context.Context) error) error {
		return move(ctx)
	}, func(w *world, err error, result *api.Result) {
		if (err == nil) != (result != nil) {
			w.t.Errorf("error %v and result %+v", err, result)
		}
		told := result != nil && strings.Contains(result.RolledBack, errFault.Error()) || errors.Is(err, errFault) ||
			err != nil && strings.Contains(err.Error(), errFault.Error())
		if ignored := failed == "save"; told == ignored {
			w.t.Errorf("%s failed, and this is told: %v, %+v", failed, err, result)
		}
		if !w.c.State.IsRunning() && err == nil {
			w.t.Error("the container does not run, and nobody is told so")
		}
		if w.c.Config.Image == "old" && failed != "remove" && (len(w.volumes) > 0 || len(w.c.MountPoints) > 0) {
			w.t.Errorf("the container has the new image's volumes: %v, %v", w.volumes, w.c.MountPoints)
		}
		if failed == "save" {
			w.saved = w.files // the daemon reconciles it
		}
		if failed == "remove" {
			clear(w.volumes) // Docker's command for volumes lists it
		}
		w.checkSettled()
	})
}

// Somebody removes the container by force, at each call of a role. The daemon ends what
// is under way before it marks the container for removal, and again after that.
func TestMovesOfAContainerThatIsRemoved(t *testing.T) {
	for _, marked := range []bool{false, true} {
		t.Run(fmt.Sprintf("marked %v", marked), func(t *testing.T) {
			var ended chan error
			everywhere(t, func(w *world, n int) {
				ended = make(chan error, 1)
				w.at = func(now int) error {
					if now == n {
						go func() {
							if marked {
								w.c.State.SetRemovalInProgress()
							}
							ended <- w.ops.EndWork(context.Background(), w.c, true)
						}()
					}
					return nil
				}
			}, func(ctx context.Context, w *world, move func(context.Context) error) error {
				return move(ctx)
			}, func(w *world, err error, result *api.Result) {
				select {
				case err := <-ended:
					if err != nil {
						w.t.Errorf("end what is under way: %v", err)
					}
				default:
					w.t.Error("the operation has ended, and the removal waits for it")
				}
				if (err == nil) != (result != nil) {
					w.t.Errorf("error %v and result %+v", err, result)
				}
				w.checkSettled()
			})
		})
	}
}

// The request ends at each call of a role.
func TestMovesWhoseRequestEnds(t *testing.T) {
	var end context.CancelFunc
	var at int
	everywhere(t, func(w *world, n int) {
		at = n
		w.at = func(now int) error {
			if now == n {
				end()
			}
			if call := w.calls[now-1]; call == "plan" || call == "prepare" {
				time.Sleep(time.Nanosecond) // until their contexts have heard of it
			}
			return nil
		}
	}, func(ctx context.Context, _ *world, move func(context.Context) error) error {
		ctx, end = context.WithCancel(ctx)
		defer end()
		return move(ctx)
	}, func(w *world, err error, result *api.Result) {
		if !w.c.State.IsRunning() {
			w.t.Error("the container does not run")
		}
		early := !slices.Contains(w.calls[:at], "run")
		if early != errors.Is(err, context.Canceled) || early && w.files != "old" {
			w.t.Errorf("before the switch: %v, error %v, files %s", early, err, w.files)
		}
		if (err == nil) != (result != nil) {
			w.t.Errorf("error %v and result %+v", err, result)
		}
		w.checkSettled()
	})
}

// The daemon begins to shut down at each call of a role.
func TestMovesWhileTheDaemonShutsDown(t *testing.T) {
	var at int
	everywhere(t, func(w *world, n int) {
		at = n
		w.at = func(now int) error {
			if now == n {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.shutdown = true
			}
			return nil
		}
	}, func(ctx context.Context, _ *world, move func(context.Context) error) error {
		return move(ctx)
	}, func(w *world, err error, result *api.Result) {
		if err != nil || result == nil {
			w.t.Fatalf("error %v, result %+v", err, result)
		}
		if slices.Contains(w.calls[at:], "start") || result.Started != w.c.State.IsRunning() {
			w.t.Errorf("calls %q then, started %v, runs %v", w.calls[at:], result.Started, w.c.State.IsRunning())
		}
		if w.c.HasBeenManuallyStopped {
			w.t.Error("the container counts as stopped by a user, and does not start with the daemon")
		}
		w.checkSettled()
	})
}
