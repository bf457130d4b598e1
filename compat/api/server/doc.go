// Package server answers the HTTP requests that Baleen adds to Docker's API. The
// messages are those of package api.
//
// Each function returns a [Handler] for one route. A Handler reads the request,
// calls a method of a role such as [Revisions], and writes the answer. An error that
// a Handler returns has not been answered: the caller answers with the status of the
// error's class and the text of the error, which a terminal can be given.
//
// A body is JSON of bounded size, or empty; see [api.Decode]. Upgrade, rollback,
// checkpoint and restore answer with a stream of [api.Progress], one JSON value a
// line.
//
// [NewRouter] has all routes, as the engine's daemon takes them.
package server
