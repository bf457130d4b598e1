package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/command"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/pkg/jsonmessage"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/printable"
)

// findImage pulls the image of an upgrade if it is to be pulled. The image is the one that
// was asked for, or else the one that the container's own name of an image means. It
// reports whether no image was asked for and the container stands on that one already.
func findImage(ctx context.Context, docker command.Cli, name, asked string, pull, quiet bool) (current bool, err error) {
	if asked != "" && !pull {
		return false, nil
	}
	c, err := docker.Client().ContainerInspect(ctx, name)
	if err != nil {
		return false, err
	}
	ref := asked
	if ref == "" {
		ref = c.Config.Image
	}
	if pull {
		if err := pullImage(ctx, docker, c, ref, quiet); err != nil {
			return false, err
		}
	}
	if asked != "" {
		return false, nil
	}
	found, err := docker.Client().ImageInspect(ctx, ref)
	if err != nil {
		return false, err
	}
	return found.ID == c.Image, nil
}

// pullImage pulls an image for the platform of a container, with the user's credentials.
func pullImage(ctx context.Context, docker command.Cli, c container.InspectResponse, ref string, quiet bool) error {
	if _, err := digest.Parse(ref); err == nil || ref == "" {
		return fmt.Errorf("container %s was created from an image by its id %q: say which image to pull", strings.TrimPrefix(c.Name, "/"), ref)
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return fmt.Errorf("pull image %q: %w", ref, err)
	}
	named = reference.TagNameOnly(named)
	auth, err := command.RetrieveAuthTokenFromImage(docker.ConfigFile(), named.String())
	if err != nil {
		return fmt.Errorf("find the credentials for %s: %w", named, err)
	}
	options := image.PullOptions{RegistryAuth: auth}
	if d := c.ImageManifestDescriptor; d != nil && d.Platform != nil {
		options.Platform = platforms.Format(*d.Platform)
	}
	messages, err := docker.Client().ImagePull(ctx, named.String(), options)
	if err != nil {
		return err
	}
	out := docker.Err()
	if quiet {
		err = jsonmessage.DisplayJSONMessagesStream(messages, io.Discard, 0, false, nil)
	} else {
		err = jsonmessage.DisplayJSONMessagesToStream(messages, out, nil)
	}
	if err = errors.Join(err, messages.Close()); err != nil {
		return fmt.Errorf("pull %s: %w", printable.Line(named.String()), err)
	}
	return nil
}
