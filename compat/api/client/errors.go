package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errhttp"
	"github.com/docker/docker/api/types"

	"github.com/baleen-project/baleen/compat/bounded"
)

// ErrNotBaleen says that the daemon knows nothing of revisions: Moby's own, or
// an older Baleen.
var ErrNotBaleen = errors.New("not a Baleen daemon")

// noRoute is Moby's message for a path that no route has. Messages about a
// container that is not there name it.
const noRoute = "page not found"

// longestRefusal bounds what is read of an error's body.
const longestRefusal = 1 << 20

// notBaleen tells people what ErrNotBaleen means.
type notBaleen struct{ host string }

func (e notBaleen) Error() string {
	return fmt.Sprintf("the daemon at %s is not Baleen's: it keeps no revisions of containers "+
		"(\"docker info\" of one that does shows \"Image Service: Baleen\")", e.host)
}

func (notBaleen) Is(target error) bool {
	return target == ErrNotBaleen || target == errdefs.ErrNotImplemented
}

// refused is an error that the daemon answered with.
type refused struct {
	message string
	class   error // of errdefs
}

func (e refused) Error() string { return "Error response from daemon: " + e.message }
func (e refused) Unwrap() error { return e.class }

// refusal is the error of a response whose status is one.
func (c *Client) refusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, longestRefusal))
	if err != nil {
		return fmt.Errorf("read the error that %s answered (%s): %w", c.docker.DaemonHost(), resp.Status, err)
	}
	message := strings.TrimSpace(string(text))
	var body types.ErrorResponse
	if json.Unmarshal(text, &body) == nil && body.Message != "" {
		message = strings.TrimSpace(body.Message)
	}
	if resp.StatusCode == http.StatusNotFound && message == noRoute {
		return notBaleen{host: c.docker.DaemonHost()}
	}
	if message == "" {
		message = resp.Status
	}
	return refused{message: message, class: errhttp.ToNative(resp.StatusCode)}
}

func encode(body any) (io.Reader, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return bytes.NewReader(text), nil
}

func decode(r io.Reader, into any) error {
	err := bounded.Answer.NewDecoder(r).Decode(into)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
