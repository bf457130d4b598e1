package diff_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/diff/tarlayer"
)

// Example packs a sealed upper directory, and unpacks what it got.
func Example() {
	upper, _ := os.MkdirTemp("", "upper")
	defer os.RemoveAll(upper)
	_ = os.WriteFile(filepath.Join(upper, "hello"), []byte("krill\n"), 0o644)

	var blob bytes.Buffer
	layer, _, err := tarlayer.Pack(context.Background(), &blob, upper, tarlayer.Options{}, compress.Method{Kind: compress.Zstd})
	if err != nil {
		fmt.Println(err)
		return
	}

	target, _ := os.MkdirTemp("", "target")
	defer os.RemoveAll(target)
	diffID, _, err := apply.ToDir(context.Background(), &blob, target, apply.Options{})
	if err != nil || diffID != layer.DiffID {
		fmt.Println("the blob is not what it should be", err)
		return
	}
	text, _ := os.ReadFile(filepath.Join(target, "hello"))
	fmt.Printf("%s %s", layer.Blob.MediaType, text)
	// Output: application/vnd.oci.image.layer.v1.tar+zstd krill
}
