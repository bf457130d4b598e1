package trial

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/baleen-project/baleen/integration/soak/fsops"
)

// Plan is all that a trial does.
type Plan struct {
	// Options of the overlay mounts of uppers. Image layers are as an unpacked
	// image has them: without redirects and files that lack data. In a plan
	// for containers (package containers), what else is to happen.
	Options []string
	// Image has the operations that make each layer of the image, lowest
	// first. There is at least one.
	Image [][]fsops.Op
	// Uppers has those of each upper above, lowest first. The last one is live
	// when it is sealed, the others are not.
	Uppers [][]fsops.Op
}

var optionSets = [][]string{
	nil,
	{"redirect_dir=on"},
	{"redirect_dir=on", "metacopy=on"},
	{userXattr},
}

const userXattr = "userxattr"

// deep is how many layers an image can have; Moby allows 127 with a container's.
const deep = 120

// NewPlan makes up a plan with about that many operations in each layer. The
// same seed gives the same plan.
func NewPlan(seed uint64, steps int) Plan {
	random := rand.New(rand.NewPCG(seed, 0))
	source := fsops.NewSource(random)
	p := Plan{Options: optionSets[random.IntN(len(optionSets))]}
	for range 1 + random.IntN(3) {
		p.Image = append(p.Image, source.Take(steps))
	}
	if random.IntN(40) == 0 {
		for len(p.Image) < deep {
			p.Image = append(p.Image, source.Take(2))
		}
	}
	sealed := max(0, random.IntN(4)-1) // mostly none
	for range 1 + sealed {
		p.Uppers = append(p.Uppers, source.Take(1+random.IntN(2*steps)))
	}
	return p
}

// layers are the lists of operations, lowest first.
func (p Plan) layers() [][]fsops.Op { return slices.Concat(p.Image, p.Uppers) }

// Len is the number of operations.
func (p Plan) Len() int {
	n := 0
	for _, ops := range p.layers() {
		n += len(ops)
	}
	return n
}

// without is the plan without some operations, counted through all layers.
func (p Plan) without(from, to int) Plan {
	at := 0
	cut := func(layers [][]fsops.Op) [][]fsops.Op {
		var kept [][]fsops.Op
		for _, ops := range layers {
			var some []fsops.Op
			for _, op := range ops {
				if at < from || at >= to {
					some = append(some, op)
				}
				at++
			}
			kept = append(kept, some)
		}
		return kept
	}
	return Plan{Options: p.Options, Image: cut(p.Image), Uppers: cut(p.Uppers)}
}

// simpler are plans with less around the operations.
func (p Plan) simpler() []Plan {
	var plans []Plan
	if len(p.Image) > 1 {
		plans = append(plans, Plan{p.Options, p.Image[1:], p.Uppers}, Plan{p.Options, p.Image[:len(p.Image)-1], p.Uppers})
	}
	if len(p.Uppers) > 1 {
		plans = append(plans, Plan{p.Options, p.Image, p.Uppers[1:]})
	}
	if len(p.Options) > 0 {
		plans = append(plans, Plan{p.Options[:len(p.Options)-1], p.Image, p.Uppers})
	}
	return plans
}

// String lists the operations, one to a line.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "options: %s\n", strings.Join(p.Options, ","))
	for i, ops := range p.layers() {
		kind := "upper"
		switch {
		case i < len(p.Image):
			kind = "image"
		case i == len(p.Image)+len(p.Uppers)-1:
			kind = "live upper"
		}
		fmt.Fprintf(&b, "layer %d (%s)\n", i, kind)
		for _, op := range ops {
			fmt.Fprintf(&b, "\t%s\n", op)
		}
	}
	return b.String()
}
