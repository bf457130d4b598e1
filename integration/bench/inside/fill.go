package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// chunk is how much is made and written at a time.
const chunk = 1 << 20

// perFolder is how many files a folder gets.
const perFolder = 100

// random is bytes that cannot be compressed.
func random(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// text is words, the first of them the most frequent, as in source code and
// prose. gzip brings it to about a third.
func text(seed uint64) io.Reader {
	source := rand.New(rand.NewPCG(seed, 1))
	vocabulary := make([]string, 8192)
	for i := range vocabulary {
		vocabulary[i] = word(source)
	}
	return &prose{random: source, vocabulary: vocabulary}
}

func word(source *rand.Rand) string {
	var b strings.Builder
	for range 2 + source.IntN(9) {
		b.WriteByte("etaoinshrdlucmfwypvbgkjqxz"[min(source.IntN(26), source.IntN(26))])
	}
	ends := []string{" ", " ", " ", " ", ", ", ". ", "\n", "_"}
	return b.String() + ends[source.IntN(len(ends))]
}

type prose struct {
	random     *rand.Rand
	vocabulary []string
	rest       string // of a word that did not fit
}

func (p *prose) Read(b []byte) (int, error) {
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	for n < len(b) {
		// One draw has bits for three words of unlike frequency.
		bits := p.random.Uint64()
		for _, i := range []uint64{bits & 127, bits >> 7 & 1023, bits >> 17 & 8191} {
			w := p.vocabulary[i]
			m := copy(b[n:], w)
			n += m
			if m < len(w) {
				p.rest = w[m:]
				return n, nil
			}
		}
	}
	return n, nil
}

// fill writes files of equal size. Arguments are folder, number of files, bytes
// altogether, and seed.
func fill(a *arguments, content func(seed uint64) io.Reader) error {
	dir, files, bytes, seed := a.text(), a.number(), a.number(), a.number()
	if a.err != nil {
		return a.err
	}
	source, buffer := content(uint64(seed)), make([]byte, chunk)
	for i := range files {
		folder := filepath.Join(dir, fmt.Sprintf("%03d", i/perFolder))
		if i%perFolder == 0 {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
		}
		name := filepath.Join(folder, fmt.Sprintf("%06d", i))
		if err := writeFile(name, source, bytes/files, buffer); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(name string, source io.Reader, size int64, buffer []byte) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	for size > 0 {
		part := buffer[:min(size, int64(len(buffer)))]
		if _, err := io.ReadFull(source, part); err != nil {
			return err
		}
		if _, err := file.Write(part); err != nil {
			return err
		}
		size -= int64(len(part))
	}
	return file.Close()
}

// edit overwrites a file with a kilobyte. Arguments are its name and a seed.
func edit(a *arguments) error {
	name, seed := a.text(), a.number()
	if a.err != nil {
		return a.err
	}
	return writeFile(name, text(uint64(seed)), 1024, make([]byte, 1024))
}
