package fsops

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Op is one operation. Which of the fields it uses depends on its verb.
type Op struct {
	Verb string
	Path string // relative to the root; "." is the root
	To   string // a second path, or a name
	N    int64  // a size, offset, mode, owner or time
	Text string // content
}

// String is the operation as one line of a report.
func (o Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-11s %s", o.Verb, o.Path)
	if o.To != "" {
		b.WriteString(" " + o.To)
	}
	switch o.Verb {
	case "chmod":
		fmt.Fprintf(&b, " %04o", o.N)
	case "create", "write", "sparse", "truncate", "chown", "utimes", "mknod":
		fmt.Fprintf(&b, " %d", o.N)
	}
	if o.Text != "" {
		fmt.Fprintf(&b, " %q", o.Text)
	}
	return b.String()
}

// weighted verbs: those that make something come often enough for others to
// find it.
var weighted = []struct {
	verb   string
	weight int
}{
	{"create", 16}, {"mkdir", 16}, {"write", 5}, {"append", 4}, {"truncate", 4}, {"sparse", 2},
	{"unlink", 5}, {"rmdir", 2}, {"remove-all", 3}, {"rename", 8}, {"exchange", 2}, {"replace", 3},
	{"link", 6}, {"symlink", 4}, {"mknod", 2}, {"fifo", 2}, {"socket", 1},
	{"chmod", 5}, {"chown", 4}, {"utimes", 4}, {"forge", 4},
	{"setxattr", 3}, {"removexattr", 2}, {"setcap", 1}, {"setacl", 1}, {"open", 4}, {"same-mode", 2},
}

// Source makes up operations. The same seed gives the same ones.
type Source struct {
	random *rand.Rand
	verbs  []string
	guess  []guess
}

// guess is a file that is there, if its operation could be done.
type guess struct {
	path string
	dir  bool
}

// NewSource returns a source of operations.
func NewSource(random *rand.Rand) *Source {
	s := &Source{random: random}
	for _, w := range weighted {
		s.verbs = append(s.verbs, slices.Repeat([]string{w.verb}, w.weight)...)
	}
	return s
}

// Know tells the source of a file that is there from the start.
func (s *Source) Know(path string, dir bool) { s.add(guess{path, dir}) }

// Take makes up n operations.
func (s *Source) Take(n int) []Op {
	ops := make([]Op, n)
	for i := range ops {
		ops[i] = s.next()
	}
	return ops
}

func (s *Source) next() Op {
	op := Op{Verb: pick(s.random, s.verbs)}
	switch op.Verb {
	case "create", "mkdir", "mknod", "fifo", "socket":
		op.Path = s.fresh()
	case "symlink":
		op.Path, op.To = s.fresh(), pick(s.random, []string{"a", "../b", "/etc/passwd", "nowhere", "c/d", strings.Repeat("long", 40)})
	case "link", "rename", "exchange", "replace":
		op.Path, op.To = s.old(), s.fresh()
		if s.random.IntN(3) == 0 {
			op.To = s.old()
		}
	case "chmod", "chown", "utimes":
		op.Path = s.old()
		if s.random.IntN(20) == 0 {
			op.Path = "."
		}
	default:
		op.Path = s.old()
	}
	s.argue(&op)
	s.learn(op)
	return op
}

// learn takes an operation for done.
func (s *Source) learn(op Op) {
	switch op.Verb {
	case "create", "symlink", "mknod", "fifo", "socket":
		s.add(guess{op.Path, false})
	case "mkdir":
		s.add(guess{op.Path, true})
	case "link", "replace":
		s.add(guess{op.To, false})
	case "unlink", "remove-all":
		s.guess = slices.DeleteFunc(s.guess, func(g guess) bool {
			return within(g.path, op.Path) && (op.Verb == "remove-all" || !g.dir)
		})
	case "rename":
		if within(op.To, op.Path) {
			return // it cannot be done
		}
		s.guess = slices.DeleteFunc(s.guess, func(g guess) bool { return within(g.path, op.To) })
		for i, g := range s.guess {
			if within(g.path, op.Path) {
				s.guess[i].path = op.To + g.path[len(op.Path):]
			}
		}
	}
}

func (s *Source) add(g guess) {
	if !slices.ContainsFunc(s.guess, func(k guess) bool { return k.path == g.path }) {
		s.guess = append(s.guess, g)
	}
}

// within tells whether a path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// argue gives an operation its numbers. There are few of each, so that files
// come to be alike in some of them.
func (s *Source) argue(op *Op) {
	switch op.Verb {
	case "create", "truncate":
		op.N = pick(s.random, []int64{0, 1, 5, 5, 5, 4096, 5000, 200_000})
	case "write":
		op.N = pick(s.random, []int64{0, 2, 4096, 100_000})
	case "sparse":
		op.N = pick(s.random, []int64{1 << 20, 3 << 20, 8<<20 - 1})
	case "chmod":
		op.N = pick(s.random, []int64{0o644, 0o755, 0o700, 0, 0o4755, 0o2755, 0o1777, 0o6711})
	case "chown":
		op.N = pick(s.random, []int64{0, 7, 1000, 2_000_000, 4_294_967_294})
	case "utimes":
		op.N = pick(s.random, []int64{0, 1, 1_000_000_000, 1_500_000_000, 4_102_444_800})
	case "mknod":
		op.N = pick(s.random, []int64{3, 5, 259})
	case "setxattr", "removexattr":
		op.To = pick(s.random, []string{"user.a", "user.b", "user.overlay-like"})
	}
	switch op.Verb {
	case "create", "write", "append", "forge", "setxattr":
		op.Text = pick(s.random, []string{"x", "y", "krill"})
	}
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

var names = []string{"a", "b", "c", "d", "e", "f", "wal-k\xfc", "-rf", strings.Repeat("n", 120)}

// fresh is a path that may be new: a name in a directory that may be there.
func (s *Source) fresh() string {
	const deepest = 4
	name := pick(s.random, names)
	var dirs []string
	for _, g := range s.guess {
		if g.dir && strings.Count(g.path, "/") < deepest {
			dirs = append(dirs, g.path)
		}
	}
	if len(dirs) == 0 || s.random.IntN(8) == 0 {
		return name
	}
	return pick(s.random, dirs) + "/" + name
}

// old is a path that something may be at.
func (s *Source) old() string {
	if len(s.guess) == 0 || s.random.IntN(20) == 0 {
		return pick(s.random, names)
	}
	return pick(s.random, s.guess).path
}
