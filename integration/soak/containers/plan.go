package containers

import (
	"math/rand/v2"

	"github.com/baleen-project/baleen/integration/soak/fsops"
	"github.com/baleen-project/baleen/integration/soak/trial"
)

// Options of a plan for containers.
const (
	// meanwhile commits while the operations on the live container go on.
	meanwhile = "commits meanwhile"
	// kill ends dockerd, by SIGKILL, during a commit of the live container.
	kill = "dockerd killed"
)

// known is what the base image of package fidelity has for operations to find.
var known = struct{ dirs, files []string }{
	dirs: []string{"img", "img/dir", "img/dir/sub", "img/full", "img/hard", "img/hidden", "img/moved", "img/sticky", "img/empty"},
	files: []string{
		"img/file", "img/other", "img/big", "img/link", "img/dangling", "img/linked", "img/hard/x", "img/hard/y",
		"img/dir/a", "img/dir/sub/c", "img/dir/sub/second", "img/hidden/new", "img/moved/one", "img/full/07",
		"img/setuid", "img/capable", "img/acl", "img/tagged", "img/fifo", "img/null",
	},
}

// NewPlan makes up a plan with about that many operations for each commit. The
// same seed gives the same plan.
func NewPlan(seed uint64, steps int) trial.Plan {
	random := rand.New(rand.NewPCG(seed, 1))
	source := fsops.NewSource(random)
	for _, dir := range known.dirs {
		source.Know(dir, true)
	}
	for _, file := range known.files {
		source.Know(file, false)
	}
	p := trial.Plan{Options: [][]string{nil, {meanwhile}, {meanwhile, kill}}[random.IntN(3)]}
	for range random.IntN(3) {
		p.Image = append(p.Image, source.Take(steps))
	}
	for range 1 + random.IntN(3) {
		p.Uppers = append(p.Uppers, source.Take(1+random.IntN(2*steps)))
	}
	return p
}
