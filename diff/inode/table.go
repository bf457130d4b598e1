package inode

import (
	"encoding/binary"
	"errors"
	"hash/maphash"

	"golang.org/x/sys/unix"
)

// ID names a file whatever its path. The kernel gives no file the device 0.
type ID struct{ Dev, Ino uint64 }

// Of returns the ID of a file.
func Of(st *unix.Stat_t) ID { return ID{st.Dev, st.Ino} }

// Value is what a Table holds for a file. The zero Value stands for none.
type Value [2]uint64

const (
	slotSize   = 32               // an ID and a Value
	bucketSize = 16 * slotSize    // is read at a time
	smallest   = 32 << 10         // bytes of a Table that has anything in it
	chunkSize  = 128 * bucketSize // is read at a time of a whole Table
)

// Table maps files to Values: a hash table with open addressing, in a spool.
type Table struct {
	seed  maphash.Seed
	slots spool
	bytes int64 // of slots
	used  int64 // slots with an ID, those with the zero Value included
	live  int64 // slots with another Value
	buf   [bucketSize]byte
}

// slot is one of a table. One without an ID is empty, and ends the search for another.
type slot struct {
	ID
	Value
}

func readSlot(b []byte) slot {
	n := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	return slot{ID{n(0), n(1)}, Value{n(2), n(3)}}
}

// find returns the offset of a file's slot, or of the empty one that it may have.
func (t *Table) find(id ID) (at int64, found slot, err error) {
	var key [16]byte
	binary.LittleEndian.PutUint64(key[:], id.Dev)
	binary.LittleEndian.PutUint64(key[8:], id.Ino)
	buckets := t.bytes / bucketSize
	start := int64(maphash.Bytes(t.seed, key[:]) % uint64(buckets)) //nolint:gosec // both are small
	for i := range buckets {
		offset := (start + i) % buckets * bucketSize
		bucket, err := t.slots.at(offset, t.buf[:])
		if err != nil {
			return 0, slot{}, err
		}
		for in := 0; in < len(bucket); in += slotSize {
			if s := readSlot(bucket[in:]); s.ID == id || s.ID == (ID{}) {
				return offset + int64(in), s, nil
			}
		}
	}
	return 0, slot{}, errors.New("a table of inodes is full") // make room forbids it
}

// Get returns what the table holds for a file, or the zero Value.
func (t *Table) Get(id ID) (Value, error) {
	if t.live == 0 {
		return Value{}, nil
	}
	_, s, err := t.find(id)
	return s.Value, err
}

// Set makes the table hold a Value for a file. The zero Value removes the file.
func (t *Table) Set(id ID, v Value) error {
	if err := t.makeRoom(); err != nil {
		return err
	}
	at, was, err := t.find(id)
	if err != nil || was.Value == v {
		return err
	}
	if err := t.put(at, slot{id, v}); err != nil {
		return err
	}
	if was.ID == (ID{}) {
		t.used++
	}
	if was.Value == (Value{}) {
		t.live++
	}
	if v == (Value{}) {
		t.live--
	}
	return nil
}

func (t *Table) put(at int64, s slot) error {
	var b [slotSize]byte
	for i, n := range []uint64{s.Dev, s.Ino, s.Value[0], s.Value[1]} {
		binary.LittleEndian.PutUint64(b[8*i:], n)
	}
	return t.slots.write(at, b[:])
}

// makeRoom keeps a quarter of the slots empty.
func (t *Table) makeRoom() error {
	if t.bytes == 0 {
		t.seed, t.bytes = maphash.MakeSeed(), smallest
		return t.slots.size(t.bytes)
	}
	if slots := t.bytes / slotSize; t.used < slots/4*3 {
		return nil
	}
	larger := Table{seed: t.seed, bytes: t.bytes}
	if t.live > t.bytes/slotSize/4 { // else files that were removed take the room
		larger.bytes *= 2
	}
	err := larger.slots.size(larger.bytes)
	if err == nil {
		err = t.Each(larger.Set)
	}
	if err != nil {
		return errors.Join(err, larger.Close())
	}
	err = t.slots.close()
	*t = larger
	return err
}

// Each calls f for each file and its Value, in no order, until f fails. f must not
// change the table.
func (t *Table) Each(f func(ID, Value) error) error {
	buf := make([]byte, min(chunkSize, t.bytes))
	for offset := int64(0); offset < t.bytes; offset += chunkSize {
		chunk, err := t.slots.at(offset, buf)
		if err != nil {
			return err
		}
		for ; len(chunk) > 0; chunk = chunk[slotSize:] {
			s := readSlot(chunk)
			if s.Value == (Value{}) {
				continue
			}
			if err := f(s.ID, s.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close gives up what the table takes. It is empty afterwards.
func (t *Table) Close() error {
	err := t.slots.close()
	*t = Table{}
	return err
}
