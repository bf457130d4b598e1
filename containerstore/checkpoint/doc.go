// Package checkpoint reads and writes checkpoints, and unpacks their files. It knows
// nothing of Docker: what Docker keeps of a container is JSON to it.
//
// A [Checkpoint] is a container's whole state as an image:
//
//	index       artifactType [ArtifactType]; annotations
//	└ manifest  artifactType [ArtifactType], platform of the container
//	  ├ config  of an image: the layers below; its command says what this is
//	  ├ layers  of the container's image
//	  ├ layers  what the container changed in its image; none if nothing
//	  └ parts, as further layers of types that are none of an image's:
//	    [MediaTypeBaseManifest]  manifest and config of the container's
//	    [MediaTypeBaseConfig]    image, byte by byte
//	    [MediaTypeContainer]     what the container was created with
//	    images.MediaTypeContainerd1CheckpointConfig          runtime spec
//	    images.MediaTypeContainerd1CheckpointRuntimeOptions  its runtime's options
//	    images.MediaTypeContainerd1Checkpoint                what CRIU dumped, a tar,
//	    or [MediaTypeProcess]                      and the same compressed
//	    images.MediaTypeContainerd1CheckpointOptions         how it did
//
// The layers of a container that stands on sealed ones are those: what each of
// them changed of all below it, and on top what is active. So each is packed
// once, and shared by all checkpoints that have it; what it was packed as is noted
// with its snapshot (History.Packed of package containerstore). A restore unpacks them into one.
//
// The last four, and the annotations of the index, are what containerd's own
// checkpoints have, whose index lists all parts itself. Registries refuse such
// an index, since its entries are no manifests, and a pull takes one entry of
// the host's platform alone. Here there is one entry, with all under it, so
// whoever copies an image copies all of a checkpoint: save, push, pull and load,
// of stock Docker and of containerd too, which show it as an image of the
// container's files and keep its parts from garbage collection. [Read]
// reads both. Package clientopts makes containers of them by containerd's client.
package checkpoint
