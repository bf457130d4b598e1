package main

import (
	"io"
	"strings"
	"testing"
)

// TestMaxLayerSize: the flag is the limit of layers, whose errors name it.
func TestMaxLayerSize(t *testing.T) {
	for text, want := range map[string]int64{"2TiB": 2 << 40, "512m": 512 << 20} {
		o, err := parse([]string{"--max-layer-size", text}, io.Discard)
		if err != nil || o.limit.Bytes != want || !strings.Contains(o.limit.Allow, "--max-layer-size") {
			t.Errorf("%s: %+v, %v", text, o.limit, err)
		}
	}
	for _, text := range []string{"", "0", "-1TiB", "much", "99999999999PiB"} {
		if o, err := parse([]string{"--max-layer-size", text}, io.Discard); err == nil {
			t.Errorf("%q is taken for %d bytes", text, o.limit.Bytes)
		}
	}
	if o, err := parse(nil, io.Discard); err != nil || o.limit.Bytes != 0 {
		t.Errorf("by default: %+v, %v", o.limit, err)
	}
}
