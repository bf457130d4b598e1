package diff

import "golang.org/x/sys/unix"

// fileSet is a set of files, by their inodes. There can be very many, and inodes
// that are in use lie close together in file systems: a bit stands for each.
type fileSet map[fileID]*[filesTogether / 64]uint64

// filesTogether is how many inode numbers are in one place of a fileSet.
const filesTogether = 512

// add reports whether a file was in the set, and has it in there.
func (s fileSet) add(st *unix.Stat_t) (had bool) {
	at := fileID{st.Dev, st.Ino / filesTogether}
	bits := s[at]
	if bits == nil {
		bits = new([filesTogether / 64]uint64)
		s[at] = bits
	}
	word, bit := &bits[st.Ino%filesTogether/64], uint64(1)<<(st.Ino%64)
	had = *word&bit != 0
	*word |= bit
	return had
}
