package imageservice

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// operations are those under way, by the ids of their leases. The lease of an
// operation that is not among them is a leak.
type operations struct {
	mu      sync.Mutex
	objects map[string]string // by lease: what the operation works on
	watches map[*watch]struct{}
}

// begin notes an operation. It is called before there is the lease.
func (o *operations) begin(lease, object string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.objects == nil {
		o.objects = map[string]string{}
	}
	o.objects[lease] = object
	for w := range o.watches {
		w.disturbed = w.disturbed || w.isOf(object)
	}
}

// end forgets an operation. It is called when its lease is gone, or is given up.
func (o *operations) end(lease string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.objects, lease)
}

// has reports whether the operation of a lease is under way.
func (o *operations) has(lease string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.objects[lease]
	return ok
}

// all are the leases of the operations under way.
func (o *operations) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Keys(o.objects))
}

// watch begins to watch for operations on an object.
func (o *operations) watch(object string) *watch {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := &watch{of: o, object: object}
	for _, object := range o.objects {
		w.disturbed = w.disturbed || w.isOf(object)
	}
	if o.watches == nil {
		o.watches = map[*watch]struct{}{}
	}
	o.watches[w] = struct{}{}
	return w
}

// watch tells whether an object was left alone while somebody looked at it.
type watch struct {
	of        *operations
	object    string
	disturbed bool // of.mu
}

// isOf reports whether an object is what is watched, or an image mount of it.
func (w *watch) isOf(object string) bool {
	return object == w.object || strings.HasPrefix(object, w.object+mountSeparator)
}

// Quiet reports whether no operation on the object has been under way since the watch
// began.
func (w *watch) Quiet() bool {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	return !w.disturbed
}

// End ends the watch.
func (w *watch) End() {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	delete(w.of.watches, w)
}
