package fork

// MobyVersion is the version of Moby that the edits are made for.
const MobyVersion = "28.5.2"

// Edits is the fork, but for the files that [Added] returns.
var Edits = []Edit{
	{
		Name:   "image-service",
		File:   "daemon/daemon.go",
		Anchor: "d.imageService = ctrd.NewService(ctrd.ImageServiceConfig{",
		With:   "d.imageService = d.newBaleenService(baleenOptions, ctrd.ImageServiceConfig{",
	},
	{
		Name:   "storage-options",
		File:   "daemon/daemon.go",
		Anchor: "\t\tlog.G(ctx).Info(\"Starting daemon with containerd snapshotter integration enabled\")\n",
		With: "\t\tlog.G(ctx).Info(\"Starting daemon with containerd snapshotter integration enabled\")\n" +
			"\t\tbaleenOptions, err := imageservice.ParseOptions(cfgStore.GraphOptions)\n\t\tif err != nil {\n\t\t\treturn nil, err\n\t\t}\n",
	},
	{
		Name:   "storage-options-import",
		File:   "daemon/daemon.go",
		Anchor: "import (\n",
		With:   "import (\n\t\"github.com/baleen-project/baleen/imageservice\"\n",
	},
	{
		Name:   "commit-query",
		File:   "api/server/router/container/container_routes.go",
		Anchor: "\tconfig, _, _, err := c.decoder.DecodeConfig(r.Body)\n\tif err != nil && !errors.Is(err, io.EOF) { // Do not fail if body is empty.\n\t\treturn err\n\t}\n\n\tref, err",
		With: "\tctx, err := imageservice.WithCommitQuery(ctx, r.Form)\n\tif err != nil {\n\t\treturn err\n\t}\n" +
			"\tconfig, _, _, err := c.decoder.DecodeConfig(r.Body)\n\tif err != nil && !errors.Is(err, io.EOF) { // Do not fail if body is empty.\n\t\treturn err\n\t}\n\n\tref, err",
	},
	{
		Name:   "commit-query-import",
		File:   "api/server/router/container/container_routes.go",
		Anchor: "import (\n",
		With:   "import (\n\t\"github.com/baleen-project/baleen/imageservice\"\n",
	},
	{
		// A container can have millions of changes: they are not in memory together.
		Name:   "changes",
		File:   "api/server/router/container/container_routes.go",
		Anchor: "\tchanges, err := c.backend.ContainerChanges(ctx, vars[\"name\"])\n\tif err != nil {\n\t\treturn err\n\t}\n\n\treturn httputils.WriteJSON(w, http.StatusOK, changes)\n",
		With:   "\treturn imageservice.AnswerChanges(ctx, w, c.backend.ContainerChanges, vars[\"name\"])\n",
	},
	{
		// Without the feature Moby serves images from its graph drivers and
		// Baleen has no part in it: better said than silently missed.
		Name:   "warn-when-off",
		File:   "daemon/daemon.go",
		Anchor: "\t\tlayerStore, err := layer.NewStoreFromOptions(layer.StoreOptions{\n",
		With:   "\t\tlog.G(ctx).Warn(baleenIsOff)\n\t\tlayerStore, err := layer.NewStoreFromOptions(layer.StoreOptions{\n",
	},
	{
		// The start of a container asks the image service for the image's
		// name, and knew only the stock service to ask.
		Name:   "resolve-image-import",
		File:   "daemon/start.go",
		Anchor: "\tmobyc8dstore \"github.com/docker/docker/daemon/containerd\"\n",
		With:   "",
	},
	{
		Name:   "resolve-image",
		File:   "daemon/start.go",
		Anchor: "daemon.imageService.(*mobyc8dstore.ImageService)",
		With:   "daemon.imageService.(imageResolver)",
	},
	{
		// The image service says itself what is the caller's fault, such as a
		// storage option that is no size.
		Name:   "create-error",
		File:   "daemon/create.go",
		Anchor: "setupInitLayer(daemon.idMapping.RootPair()))\n\tif err != nil {\n\t\treturn nil, errdefs.System(err)\n",
		With:   "setupInitLayer(daemon.idMapping.RootPair()))\n\tif err != nil {\n\t\treturn nil, err\n",
	},
	{
		// The pause lasts while the commit reads the container, not while it
		// prepares, nor while it makes the image.
		Name:   "pause-briefly",
		File:   "daemon/commit.go",
		Anchor: "\t\tdaemon.containerPause(container)\n\t\tdefer daemon.containerUnpause(container)\n",
		With:   "\t\tctx = daemon.pauseForCommit(ctx, container)\n",
	},
	{
		Name:   "mend-interrupted",
		File:   "daemon/daemon.go",
		Anchor: "\tclose(d.startupDone)\n",
		With:   "\tclose(d.startupDone)\n\td.mendInterrupted(ctx)\n",
	},
	{
		// What is under way would go on until the process ends.
		Name:   "shutdown",
		File:   "daemon/daemon.go",
		Anchor: "\tdaemon.shutdown = true\n",
		With:   "\tdaemon.shutdown = true\n\tdaemon.endOperations(ctx)\n",
	},
	{
		// How long it takes to squash an image is the image's choice, and the build's
		// client may go away.
		Name:   "squash-request",
		File:   "api/server/backend/build/backend.go",
		Anchor: "squashBuild(buildResult, b.imageComponent)",
		With:   "squashBuild(buildResult, imageservice.BuildImages(ctx, b.imageComponent))",
	},
	{
		Name:   "squash-request-import",
		File:   "api/server/backend/build/backend.go",
		Anchor: "import (\n",
		With:   "import (\n\t\"github.com/baleen-project/baleen/imageservice\"\n",
	},
	{
		// What the daemon keeps for Baleen, with the locks of its revisions.
		Name:   "state",
		File:   "daemon/daemon.go",
		Anchor: "\timageService      ImageService\n\tconfigStore ",
		With:   "\timageService      ImageService\n\tbaleen            baleenState\n\tconfigStore ",
	},
	{
		// An upgrade or rollback changes the record and the files of a
		// container, and the daemon may end in between: the files decide. A
		// container whose files cannot be found or settled is loaded, and says so.
		Name:   "load-layer",
		File:   "daemon/daemon.go",
		Anchor: "daemon.imageService.GetLayerByID(c.ID)",
		With:   "daemon.loadLayer(c)",
	},
	{
		// A container whose files are being switched must not start on half of
		// them, whether a user or a restart policy starts it.
		Name:   "start-guard",
		File:   "daemon/start.go",
		Anchor: "\tif container.RemovalInProgress || container.Dead {\n",
		With: "\tif err := daemon.mayStart(ctx, container); err != nil {\n\t\treturn err\n\t}\n" +
			"\tif container.RemovalInProgress || container.Dead {\n",
	},
	{
		// Nor must it be removed meanwhile: by force calls the switch off first.
		// Asked again once the mark is set that new ones look for; but it is not
		// set in vain, which would keep a container from starting.
		Name:   "removal-guard",
		File:   "daemon/delete.go",
		Anchor: "\t// Container state RemovalInProgress should be used to avoid races.\n",
		With: "\tif err := daemon.endWork(ctr, opts); err != nil {\n\t\treturn err\n\t}\n\n" +
			"\t// Container state RemovalInProgress should be used to avoid races.\n",
	},
	{
		Name:   "removal-guard-again",
		File:   "daemon/delete.go",
		Anchor: "\t// check if container wasn't deregistered by previous rm since Get\n",
		With: "\tif err := daemon.endWork(ctr, opts); err != nil {\n\t\treturn err\n\t}\n\n" +
			"\t// check if container wasn't deregistered by previous rm since Get\n",
	},
	{
		// A container that is frozen for a commit is asked to end when it can obey;
		// and who pauses it, lets it go on or runs a command in it waits for as long.
		Name:   "signal-after-thaw",
		File:   "daemon/kill.go",
		Anchor: "\tcontainer.Lock()\n\tdefer container.Unlock()\n\n\ttask, err := container.GetRunningTask()\n",
		With:   "\tdaemon.awaitThaw(container)\n\tcontainer.Lock()\n\tdefer container.Unlock()\n\n\ttask, err := container.GetRunningTask()\n",
	},
	{
		Name:   "pause-after-thaw",
		File:   "daemon/pause.go",
		Anchor: "\treturn daemon.containerPause(ctr)\n",
		With:   "\tdaemon.awaitThaw(ctr)\n\treturn daemon.containerPause(ctr)\n",
	},
	{
		Name:   "unpause-after-thaw",
		File:   "daemon/unpause.go",
		Anchor: "\treturn daemon.containerUnpause(ctr)\n",
		With:   "\tdaemon.awaitThaw(ctr)\n\treturn daemon.containerUnpause(ctr)\n",
	},
	{
		Name:   "exec-after-thaw",
		File:   "daemon/exec.go",
		Anchor: "\tif ctr.IsPaused() {\n\t\treturn nil, errExecPaused(ctr.ID)\n",
		With:   "\tdaemon.awaitThaw(ctr)\n\tif ctr.IsPaused() {\n\t\treturn nil, errExecPaused(ctr.ID)\n",
	},
	{
		Name:   "exec-create-after-thaw",
		File:   "daemon/exec.go",
		Anchor: "\tif ctr.IsPaused() {\n\t\treturn nil, errExecPaused(name)\n",
		With:   "\tdaemon.awaitThaw(ctr)\n\tif ctr.IsPaused() {\n\t\treturn nil, errExecPaused(name)\n",
	},
	{
		// The runtime starts no command in a container that is frozen.
		Name:   "exec-thawed",
		File:   "daemon/exec.go",
		Anchor: "\tec.Process, err = tsk.Exec(ctx, ec.ID, p, cStdin != nil, ec.InitializeStdio)\n",
		With: "\tthawed := daemon.keepThawed(ec.Container)\n" +
			"\tec.Process, err = tsk.Exec(ctx, ec.ID, p, cStdin != nil, ec.InitializeStdio)\n\tthawed()\n",
	},
	{
		Name:   "attach-after-thaw",
		File:   "daemon/attach.go",
		Anchor: "\tif ctr.IsPaused() {\n",
		With:   "\tdaemon.awaitThaw(ctr)\n\tif ctr.IsPaused() {\n",
	},
	{
		// What Moby's image service asks Baleen's.
		Name:   "baleen-field",
		File:   "daemon/containerd/service.go",
		Anchor: "type ImageService struct {\n",
		With:   "type ImageService struct {\n\tbaleen baleenState\n",
	},
	{
		// What is loaded or imported is unpacked by Baleen's applier, as what is
		// stored only is when a container is made of it.
		Name:   "unpack-import",
		File:   "daemon/containerd/image_import.go",
		Anchor: "c8dImg.Unpack(ctx, snapshotter)",
		With:   "i.unpackManifest(ctx, c8dImg, snapshotter)",
	},
	{
		Name:   "unpack-load",
		File:   "daemon/containerd/image_exporter.go",
		Anchor: "platformImg.Unpack(ctx, i.snapshotter)",
		With:   "i.unpackManifest(ctx, platformImg, i.snapshotter)",
	},
	{
		// A name that has an image already is given to the new one in one step. Moby
		// deletes the record and makes another, and fails if somebody else does the
		// same.
		Name:   "replace-tag",
		File:   "daemon/containerd/image_tag.go",
		Anchor: replaceTag,
		With: "\ti.baleen.names.Lock()\n\tdefer i.baleen.names.Unlock()\n" +
			"\tif err := i.putImage(ctx, newImg); err != nil {\n" +
			"\t\treturn errdefs.System(fmt.Errorf(\"failed to create image with name %s and target %s: %w\", newImg.Name, newImg.Target.Digest, err))\n\t}\n",
	},
	{
		// The record of a name is as old as the name; what it stands for is not.
		Name:   "until-replaced",
		File:   "daemon/containerd/image_list.go",
		Anchor: "\t\t\tcreated := image.CreatedAt\n",
		With:   "\t\t\tcreated := image.UpdatedAt\n",
	},
	{
		// An archive without the layers that containerd lacks could not be loaded.
		Name:   "save-complete",
		File:   "daemon/containerd/image_exporter.go",
		Anchor: "return i.leaseContent(ctx, i.content, target)",
		With:   "return i.leaseComplete(ctx, target)",
	},
	{
		// Pulling brings back layers that are unpacked and whose blobs are gone.
		Name:   "pull-complete",
		File:   "daemon/containerd/image_pull.go",
		Anchor: "i.client.Pull(ctx, ref.String(), opts...)",
		With:   "i.pull(ctx, ref.String(), opts...)",
	},
	{
		// An image must not choose a mapping of ids.
		Name:   "pull-id-maps",
		File:   "daemon/containerd/image_pull.go",
		Anchor: "\tinfoHandler := snapshotters.AppendInfoHandlerWrapper(ref.String())\n",
		With:   "\tinfoHandler := compat.WithoutIDMaps(snapshotters.AppendInfoHandlerWrapper(ref.String()))\n",
	},
	{
		Name:   "pull-id-maps-import",
		File:   "daemon/containerd/image_pull.go",
		Anchor: "import (\n",
		With:   "import (\n\t\"github.com/baleen-project/baleen/compat\"\n",
	},
	{
		// A container that is made of a checkpoint gets its files with its layer:
		// nobody sees it without them.
		Name:   "restored-layer",
		File:   "daemon/create.go",
		Anchor: "daemon.imageService.CreateLayer(ctr, setupInitLayer(daemon.idMapping.RootPair()))",
		With:   "daemon.newLayer(ctx, ctr)",
	},
	{
		// Until then a crash leaves layers of which nobody knows.
		Name:   "created",
		File:   "daemon/create.go",
		Anchor: "\tmetrics.StateCtr.Set(ctr.ID, \"stopped\")\n\tdaemon.LogContainerEvent(ctr, events.ActionCreate)\n",
		With:   "\tdaemon.created(ctx, ctr)\n\tmetrics.StateCtr.Set(ctr.ID, \"stopped\")\n\tdaemon.LogContainerEvent(ctr, events.ActionCreate)\n",
	},
	{
		// Moby fails if containerd has the checkpoint already, which it has, since
		// that came from there.
		Name:   "checkpoint-upload",
		File:   "libcontainerd/remote/client.go",
		Anchor: checkpointUpload,
		With: "\t\tvar err error\n\t\tvar release func()\n\t\tcheckpoint, release, err = c.client.uploadCheckpoint(ctx, checkpointDir)\n" +
			"\t\tif err != nil {\n\t\t\treturn nil, errors.Wrapf(err, \"failed to upload checkpoint to containerd\")\n\t\t}\n\t\tdefer release()\n",
	},
	{
		Name:   "checkpoint-import",
		File:   "libcontainerd/remote/client.go",
		Anchor: "\t\"github.com/opencontainers/go-digest\"\n",
		With:   "",
	},
	{
		// The network of a container is the daemon's to make, also for processes
		// that are restored: CRIU makes the namespace alone.
		Name:   "checkpoint-network",
		File:   "libcontainerd/remote/client.go",
		Anchor: "r.Options = &runcoptions.CheckpointOptions{}",
		With:   "r.Options = &runcoptions.CheckpointOptions{FileLocks: true, EmptyNamespaces: []string{\"network\"}}",
	},
	{
		Name: "start-task",
		File: "daemon/start.go",
		Anchor: "\tif err := daemon.initializeCreatedTask(ctx, &daemonCfg.Config, tsk, container, spec); err != nil {\n\t\treturn err\n\t}\n\n" +
			"\tif err := tsk.Start(context.WithoutCancel(ctx)); err != nil { // passing a cancelable ctx caused integration tests to be stuck in the cleanup phase\n" +
			"\t\treturn setExitCodeFromError(container.SetExitCode, err)\n\t}\n",
		With: "\tif err := daemon.startTask(ctx, &daemonCfg.Config, tsk, container, spec, checkpoint); err != nil {\n\t\treturn err\n\t}\n",
	},
	{
		// BuildKit names images itself, and not by the image service.
		Name:   "build-name",
		File:   "builder/builder-next/exporter/overrides/overrides.go",
		Anchor: "\t\tnameWithTag := reference.TagNameOnly(ref).String()\n",
		With: "\t\tif err := compat.CheckName(ref); err != nil {\n\t\t\treturn nil, compat.DockerError(err)\n\t\t}\n\n" +
			"\t\tnameWithTag := reference.TagNameOnly(ref).String()\n",
	},
	{
		Name:   "build-name-import",
		File:   "builder/builder-next/exporter/overrides/overrides.go",
		Anchor: "\t\"github.com/distribution/reference\"\n",
		With:   "\t\"github.com/baleen-project/baleen/compat\"\n\t\"github.com/distribution/reference\"\n",
	},
	{
		Name:   "router",
		File:   "cmd/dockerd/daemon.go",
		Anchor: "\t\tcontainer.NewRouter(opts.daemon, decoder, opts.daemon.RawSysInfo().CgroupUnified),\n",
		With: "\t\tbaleenrouter.NewRouter(opts.daemon),\n" +
			"\t\tcontainer.NewRouter(opts.daemon, decoder, opts.daemon.RawSysInfo().CgroupUnified),\n",
	},
	{
		Name:   "router-import",
		File:   "cmd/dockerd/daemon.go",
		Anchor: "\t\"github.com/docker/docker/api/server/router/build\"\n",
		With: "\tbaleenrouter \"github.com/docker/docker/api/server/router/baleen\"\n" +
			"\t\"github.com/docker/docker/api/server/router/build\"\n",
	},
	{
		Name:   "version-line",
		File:   "cmd/dockerd/docker.go",
		Anchor: `fmt.Sprintf("%s, build %s", dockerversion.Version, dockerversion.GitCommit)`,
		With:   `fmt.Sprintf("%s, build %s (Baleen's fork of Moby ` + MobyVersion + `)", dockerversion.Version, dockerversion.GitCommit)`,
	},
}

// checkpointUpload is how Moby brings a checkpoint into containerd's store.
const checkpointUpload = `		// write checkpoint to the content store
		tar := archive.Diff(ctx, "", checkpointDir)
		var err error
		checkpoint, err = c.client.writeContent(ctx, c8dimages.MediaTypeContainerd1Checkpoint, checkpointDir, tar)
		// remove the checkpoint when we're done
		defer func() {
			if checkpoint != nil {
				err := c.client.client.ContentStore().Delete(ctx, digest.Digest(checkpoint.Digest))
				if err != nil {
					c.client.logger.WithError(err).WithFields(log.Fields{
						"ref":    checkpointDir,
						"digest": checkpoint.Digest,
					}).Warnf("failed to delete temporary checkpoint entry")
				}
			}
		}()
		if err := tar.Close(); err != nil {
			return nil, errors.Wrap(err, "failed to close checkpoint tar stream")
		}
		if err != nil {
			return nil, errors.Wrapf(err, "failed to upload checkpoint to containerd")
		}
`

// replaceTag is how Moby gives a name to an image.
const replaceTag = `	if _, err := i.images.Create(ctx, newImg); err != nil {
		if !cerrdefs.IsAlreadyExists(err) {
			return errdefs.System(errors.Wrapf(err, "failed to create image with name %s and target %s", newImg.Name, newImg.Target.Digest.String()))
		}

		replacedImg, all, err := i.resolveAllReferences(ctx, newImg.Name)
		if err != nil {
			return errdefs.Unknown(errors.Wrapf(err, "creating image %s failed because it already exists, but accessing it also failed", newImg.Name))
		} else if replacedImg == nil {
			return errdefs.Unknown(fmt.Errorf("creating image %s failed because it already exists, but failed to resolve", newImg.Name))
		}

		// Check if image we would replace already resolves to the same target.
		// No need to do anything.
		if replacedImg.Target.Digest == newImg.Target.Digest {
			if !creatingDangling {
				i.LogImageEvent(ctx, replacedImg.Target.Digest.String(), imageFamiliarName(newImg), events.ActionTag)
			}
			return nil
		}

		// If there already exists an image with this tag, delete it
		if err := i.softImageDelete(ctx, *replacedImg, all); err != nil {
			return errors.Wrapf(err, "failed to delete previous image %s", replacedImg.Name)
		}

		if _, err := i.images.Create(context.WithoutCancel(ctx), newImg); err != nil {
			return errdefs.System(errors.Wrapf(err, "failed to create an image %s with target %s after deleting the existing one",
				newImg.Name, newImg.Target.Digest))
		}
	}
`
