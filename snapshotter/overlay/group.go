package overlay

import "sync"

// group runs the jobs of several callers together: those that come while it is
// busy wait, and go all at once when it is free. A job must tell its caller
// itself that it is done. The zero value needs run.
type group[T any] struct {
	run func([]T)

	mu      sync.Mutex
	waiting []T
	busy    bool
}

func (g *group[T]) add(job T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, job)
	if !g.busy {
		g.busy = true
		go g.work()
	}
}

func (g *group[T]) work() {
	for jobs := g.take(); len(jobs) > 0; jobs = g.take() {
		g.run(jobs)
	}
}

func (g *group[T]) take() []T {
	g.mu.Lock()
	defer g.mu.Unlock()
	jobs := g.waiting
	g.waiting = nil
	g.busy = len(jobs) > 0
	return jobs
}
