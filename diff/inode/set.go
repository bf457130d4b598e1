package inode

import (
	"golang.org/x/sys/unix"
)

// Set is a set of files, by their inodes. There can be very many, and inodes
// that are in use lie close together in file systems: a bit stands for each.
type Set struct{ bits Table }

// Add reports whether a file was in the set, and has it in there.
func (s *Set) Add(st *unix.Stat_t) (had bool, err error) {
	const together = 128 // bits of a Value
	at := ID{Dev: st.Dev, Ino: st.Ino / together}
	bits, err := s.bits.Get(at)
	if err != nil {
		return false, err
	}
	word, bit := &bits[st.Ino%together/64], uint64(1)<<(st.Ino%64)
	had = *word&bit != 0
	*word |= bit
	return had, s.bits.Set(at, bits)
}

// Close gives up what the set takes, a temporary file for example.
func (s *Set) Close() error { return s.bits.Close() }
