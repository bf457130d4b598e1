// Package moby names every type of the Moby engine that Baleen uses, as aliases,
// and bridges in a few functions what differs between the engine's lines. All other
// packages of Baleen take the engine's types from here, and so compile against each
// line.
//
// There is one file per line, and each has the same exported names. engine28.go, for
// 28.5 (github.com/docker/docker), is part of this module. A build for another line
// replaces it with the go command's -overlay: a file below _29, for example, which
// the go command does not read otherwise, because the module github.com/moby/moby/v2
// keeps some of the types in packages that other modules must not import.
//
// # Names
//
// A name is the engine's own where that says what it is: [Container], [HostConfig],
// [CommitConfig]. A name that more than one package of the engine has, or that says
// nothing by itself, begins with the domain: [ContainerConfig], [ImageID],
// [BuilderImage], [EventAction]. Constants begin with their type or the engine's
// prefix: [ActionCreate], [MountTypeTmpfs], [NetworkModeNone].
//
// # Rules for users
//
// Aliases do not hide that a type has other fields or methods on another line. Code
// outside this package must not
//
//   - convert a port to or from a string, or order ports: use [PortNames] and [PortsOf];
//   - call ExitCode, StateString or State of a container's state: use [ExitCode] and
//     the state's fields;
//   - read the platform of an image of the builder;
//   - take an address or a MAC address for a string: use fmt.Sprint;
//   - ask for the class of an error with the engine's functions: use
//     github.com/containerd/errdefs, which knows the engine's classes too.
package moby
