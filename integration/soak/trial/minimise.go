package trial

import "context"

// Minimise leaves out of a plan what it can while fails still reports a
// failure, first a layer, then many operations at a time, then few. It goes on
// until nothing more can go, or ctx ends.
func Minimise(ctx context.Context, p Plan, fails func(Plan) bool) Plan {
	for shorter := true; shorter && ctx.Err() == nil; {
		shorter = false
		for _, simpler := range p.simpler() {
			if fails(simpler) {
				p, shorter = simpler, true
				break
			}
		}
		if shorter {
			continue
		}
		for piece := max(1, p.Len()/2); piece > 0; piece /= 2 {
			for at := 0; at < p.Len() && ctx.Err() == nil; {
				if less := p.without(at, at+piece); fails(less) {
					p, shorter = less, true
				} else {
					at += piece
				}
			}
		}
	}
	return p
}
