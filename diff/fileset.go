package diff

import (
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/inode"
)

// fileSet is a set of files, by their inodes. There can be very many, and inodes
// that are in use lie close together in file systems: a bit stands for each.
type fileSet struct{ bits inode.Table }

// add reports whether a file was in the set, and has it in there.
func (s *fileSet) add(st *unix.Stat_t) (had bool, err error) {
	const together = 128 // bits of a Value
	at := inode.ID{Dev: st.Dev, Ino: st.Ino / together}
	bits, err := s.bits.Get(at)
	if err != nil {
		return false, err
	}
	word, bit := &bits[st.Ino%together/64], uint64(1)<<(st.Ino%64)
	had = *word&bit != 0
	*word |= bit
	return had, s.bits.Set(at, bits)
}

func (s *fileSet) close() error { return s.bits.Close() }
