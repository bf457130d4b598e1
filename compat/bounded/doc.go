// Package bounded reads JSON that others have written: images, checkpoints, and
// the bodies of requests and answers.
//
// A short text can ask for much memory: five million empty objects are 1.2 MB of
// a gzip stream, 15 MB of text, and 1.6 GB of decoded structures. So [Limits]
// bound the bytes, the values and the depth of a text, and all three are checked
// before anything is decoded. What is over a limit is errdefs.ErrInvalidArgument,
// and the error names the limit.
//
// [Limits.Provider] puts the same check in front of code that reads a content
// store itself, such as containerd's package images.
package bounded
