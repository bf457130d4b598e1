package compat

import (
	"maps"
	"slices"

	imagespec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/moby"
)

// ImageConfig is the part of a container's configuration that an image
// carries. The result shares nothing with cfg, which may be the live
// configuration of a running container; a nil cfg gives the zero value.
func ImageConfig(cfg *moby.ContainerConfig) imagespec.DockerOCIImageConfig {
	if cfg == nil {
		return imagespec.DockerOCIImageConfig{}
	}
	return imagespec.DockerOCIImageConfig{
		ImageConfig: ocispec.ImageConfig{
			User:         cfg.User,
			ExposedPorts: moby.PortNames(cfg.ExposedPorts),
			Env:          slices.Clone(cfg.Env),
			Entrypoint:   slices.Clone(cfg.Entrypoint),
			Cmd:          slices.Clone(cfg.Cmd),
			Volumes:      maps.Clone(cfg.Volumes),
			WorkingDir:   cfg.WorkingDir,
			Labels:       maps.Clone(cfg.Labels),
			StopSignal:   cfg.StopSignal,
			ArgsEscaped:  cfg.ArgsEscaped, //nolint:staticcheck // deprecated, but part of existing images
		},
		DockerOCIImageConfigExt: imagespec.DockerOCIImageConfigExt{
			Healthcheck: cloneHealthcheck(cfg.Healthcheck),
			OnBuild:     slices.Clone(cfg.OnBuild),
			Shell:       slices.Clone(cfg.Shell),
		},
	}
}

func cloneHealthcheck(h *imagespec.HealthcheckConfig) *imagespec.HealthcheckConfig {
	if h == nil {
		return nil
	}
	c := *h
	c.Test = slices.Clone(h.Test)
	return &c
}
