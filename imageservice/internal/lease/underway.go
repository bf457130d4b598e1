package lease

import (
	"maps"
	"slices"
	"strings"
)

// Note notes an operation. It is called before there is the lease.
func (o *Operations) Note(lease, object string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.objects[lease] = object
	for w := range o.watches {
		w.disturbed = w.disturbed || w.isOf(object)
	}
}

// Forget forgets an operation. It is called when its lease is gone, or is given up.
func (o *Operations) Forget(lease string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.objects, lease)
}

// IsUnderWay reports whether the operation of a lease is under way.
func (o *Operations) IsUnderWay(lease string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.objects[lease]
	return ok
}

// UnderWay returns the leases of the operations under way.
func (o *Operations) UnderWay() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Keys(o.objects))
}

// Watch begins to watch for operations on an object.
func (o *Operations) Watch(object string) *Watch {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := &Watch{of: o, object: object}
	for _, object := range o.objects {
		w.disturbed = w.disturbed || w.isOf(object)
	}
	o.watches[w] = struct{}{}
	return w
}

// Watch tells whether an object was left alone while somebody looked at it.
type Watch struct {
	of        *Operations
	object    string
	disturbed bool // of.mu
}

// isOf reports whether an object is what is watched, or an image mount of it, whose name
// begins with the container's and a dash.
func (w *Watch) isOf(object string) bool {
	return object == w.object || strings.HasPrefix(object, w.object+"-")
}

// Quiet reports whether no operation on the object has been under way since the watch
// began.
func (w *Watch) Quiet() bool {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	return !w.disturbed
}

// End ends the watch.
func (w *Watch) End() {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	delete(w.of.watches, w)
}
