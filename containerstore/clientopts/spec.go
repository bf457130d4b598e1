package clientopts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/containerstore/internal/label"
)

// specAny is a container's spec as its record has it.
type specAny struct {
	TypeURL string `json:"typeURL"`
	Value   []byte `json:"value"`
}

// GetTypeUrl is named as typeurl.Any wants it.
func (s *specAny) GetTypeUrl() string { return s.TypeURL }

// GetValue returns the encoded spec.
func (s *specAny) GetValue() []byte { return s.Value }

// specType is how the names of types end that are an OCI runtime spec, as
// containerd's client writes them.
const specType = "opencontainers/runtime-spec/1/Spec"

// specConfig is what a revision keeps of the configuration of a container that
// has no daemon: its spec.
func specConfig(spec interface {
	GetTypeUrl() string
	GetValue() []byte
}) (json.RawMessage, error) {
	if spec == nil {
		return nil, nil
	}
	return json.Marshal(specAny{TypeURL: spec.GetTypeUrl(), Value: spec.GetValue()})
}

func configSpec(config json.RawMessage) (s specAny, err error) {
	if len(config) == 0 {
		return s, nil
	}
	err = json.Unmarshal(config, &s)
	return s, err
}

// mountTargets are the paths at which a container has mounts by its spec; none if it cannot
// be read.
func mountTargets(spec interface{ GetValue() []byte }) []string {
	if spec == nil {
		return nil
	}
	var s struct {
		Mounts []struct{ Destination string }
	}
	if json.Unmarshal(spec.GetValue(), &s) != nil {
		return nil
	}
	paths := make([]string, len(s.Mounts))
	for i, m := range s.Mounts {
		paths[i] = m.Destination
	}
	return paths
}

// adapt has the spec's process follow the new image where it follows the old.
func (u *upgrade) adapt(ctx context.Context, moved *containers.Container) error {
	spec := moved.Spec
	if spec == nil || !strings.HasSuffix(spec.GetTypeUrl(), specType) || u.active.Labels[label.RefImage] == "" {
		return nil // it does not come from the image, or from which is not known
	}
	r, err := containerstore.ReadRecord(ctx, u.Content, u.active)
	if err != nil {
		return err
	}
	old, err := baseimage.Read(ctx, u.Content, *r.Manifest, r.Platform)
	if err != nil {
		return fmt.Errorf("read the image that it stands on: %w", err)
	}
	image, err := imageConfig(ctx, u.image)
	if err != nil {
		return err
	}
	to := image.Config.ImageConfig
	var s oci.Spec
	if err := json.Unmarshal(spec.GetValue(), &s); err != nil {
		return fmt.Errorf("read its spec: %w", err)
	}
	if s.Process == nil {
		return nil
	}
	follow(&s, old.Config.Config.ImageConfig, to)
	if err := u.followUser(ctx, &s, old.Config.Config.User, to.User, moved); err != nil {
		return err
	}
	value, err := json.Marshal(&s)
	if err != nil {
		return err
	}
	moved.Spec = &specAny{TypeURL: spec.GetTypeUrl(), Value: value}
	return nil
}

func follow(s *oci.Spec, old, to ocispec.ImageConfig) {
	s.Process.Env = followEnv(s.Process.Env, environ(old), environ(to))
	s.Process.Args = followArgs(s.Process.Args, old, to)
	if s.Process.Cwd == directory(old) {
		s.Process.Cwd = directory(to)
	}
}

// followArgs keeps the arguments that the user gave to an entrypoint.
func followArgs(args []string, old, to ocispec.ImageConfig) []string {
	if slices.Equal(args, slices.Concat(old.Entrypoint, old.Cmd)) {
		return slices.Concat(to.Entrypoint, to.Cmd)
	}
	n := len(old.Entrypoint)
	if n > 0 && len(args) >= n && slices.Equal(args[:n], old.Entrypoint) {
		return slices.Concat(to.Entrypoint, args[n:])
	}
	return args
}

// defaultPath is the environment that package oci gives to images that have
// none.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func environ(c ocispec.ImageConfig) []string {
	if len(c.Env) == 0 {
		return []string{defaultPath}
	}
	return c.Env
}

func directory(c ocispec.ImageConfig) string {
	if c.WorkingDir == "" {
		return "/"
	}
	return c.WorkingDir
}

// followEnv changes the variables that have the old image's value, and adds
// those that only the new one has.
func followEnv(env, old, to []string) []string {
	was, is, have := variables(old), variables(to), variables(env)
	var result []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		now, ok := is[name]
		switch {
		case was[name] != e:
			result = append(result, e)
		case ok:
			result = append(result, now)
		}
	}
	for _, e := range to {
		name, _, _ := strings.Cut(e, "=")
		if have[name] == "" && was[name] == "" {
			result = append(result, e)
		}
	}
	return result
}

// variables are the entries of an environment by name.
func variables(env []string) map[string]string {
	named := make(map[string]string, len(env))
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		named[name] = e
	}
	return named
}

// followUser looks names of users up in the container's files, before and after.
func (u *upgrade) followUser(ctx context.Context, s *oci.Spec, old, to string, moved *containers.Container) error {
	if old == to && !strings.ContainsFunc(old, notDigit) {
		return nil // a number is the same in all images
	}
	had := s.Process.User
	before, err := u.user(ctx, old, u.record, *s)
	if errors.Is(err, oci.ErrNoUsersFound) || errors.Is(err, fs.ErrNotExist) {
		return nil // so it cannot be where the spec has its user from
	}
	if err != nil {
		return fmt.Errorf("look up user %q of its image: %w", old, err)
	}
	if before.Process.User.UID != had.UID || before.Process.User.GID != had.GID {
		return nil
	}
	after, err := u.user(ctx, to, moved, *s)
	if err != nil {
		return fmt.Errorf("look up user %q of image %s: %w", to, u.image.Name(), err)
	}
	s.Process.User = after.Process.User
	s.Process.User.Umask = had.Umask
	return nil
}

func notDigit(r rune) bool { return (r < '0' || r > '9') && r != ':' }

// user returns the spec of a container with the user that an image names, which
// is looked up in the container's files.
func (u *upgrade) user(ctx context.Context, name string, c *containers.Container, s oci.Spec) (*oci.Spec, error) {
	s.Process = nil
	if name == "" {
		name = "0:0"
	}
	if err := oci.WithUser(name)(ctx, u.client, c, &s); err != nil {
		return nil, err
	}
	id := strconv.FormatUint(uint64(s.Process.User.UID), 10)
	return &s, oci.WithAdditionalGIDs(id)(ctx, u.client, c, &s)
}
