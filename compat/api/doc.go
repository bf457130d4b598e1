// Package api has the messages of the routes that Baleen adds to the Docker
// Engine API. The daemon and its clients share it.
//
//	POST /containers/{id}/snapshot          SnapshotRequest -> Revision
//	POST /containers/{id}/upgrade           UpgradeRequest  -> stream of Progress
//	POST /containers/{id}/rollback          RollbackRequest -> stream of Progress
//	GET  /containers/{id}/revisions                         -> []Revision
//	POST /containers/{id}/revisions/prune   PruneRequest    -> PruneReport
//	POST /containers/{id}/checkpoint        CheckpointRequest -> stream of Progress
//	GET  /containers/{id}/checkpoint/check                  -> CheckpointAbility
//	GET  /checkpoints/check                                 -> CheckpointAbility
//	POST /checkpoints/restore               RestoreRequest    -> stream of Progress
//	POST /baleen/check                      CheckRequest      -> CheckReport
//	GET  /baleen/df                                           -> DiskUsage
//
// A snapshot answers 201, the others 200. A body may be empty but for a
// restore; fields that the daemon does not know are refused. While one of the
// POST routes is at work on a container the others answer 409.
// A body may have 1 MiB; [Decode] and Validate say what else is refused.
//
// A stream is JSON messages one after the other. The last one has either Error
// or Result, which a dry run leaves empty, or in place of that Checkpoint or
// Restored. Errors before the first message have
// an HTTP status and a body as elsewhere in the API. A daemon without Baleen
// answers 404 with the message "page not found"; for a container that is not
// there the message names it.
package api
