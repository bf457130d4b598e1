package snap

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// maxLabel is how many bytes key and value of a label may have together, as
// containerd's pkg/labels has it.
const maxLabel = 4096

// inParts begins the value of a label whose text is in others: their number
// follows. A version that does not know of parts takes it for no mapping of ids,
// and says so.
const inParts = "parts "

// SplitLabel returns a text as a label of that key or, where it is too long for
// one, as several: KEY with their number, and KEY.1, KEY.2 and so on.
func SplitLabel(key, text string) map[string]string {
	if len(key)+len(text) <= maxLabel {
		return map[string]string{key: text}
	}
	labels := map[string]string{}
	n := 0
	for text != "" {
		n++
		part := partKey(key, n)
		size := min(len(text), maxLabel-len(part))
		labels[part], text = text[:size], text[size:]
	}
	labels[key] = inParts + strconv.Itoa(n)
	return labels
}

// JoinLabel returns the text that SplitLabel has made labels of; "" if there is
// none.
func JoinLabel(i snapshots.Info, key string) (string, error) {
	number, split := strings.CutPrefix(i.Labels[key], inParts)
	if !split {
		return i.Labels[key], nil
	}
	var text strings.Builder
	n, err := strconv.Atoi(number)
	if err != nil {
		return "", fmt.Errorf("label %s of snapshot %s: %w: %w", key, i.Name, err, errdefs.ErrDataLoss)
	}
	for part := 1; part <= n; part++ {
		value, ok := i.Labels[partKey(key, part)]
		if !ok {
			return "", fmt.Errorf("label %s of snapshot %s: part %d of %d is missing: %w", key, i.Name, part, n, errdefs.ErrDataLoss)
		}
		text.WriteString(value)
	}
	return text.String(), nil
}

func partKey(key string, n int) string { return key + "." + strconv.Itoa(n) }
