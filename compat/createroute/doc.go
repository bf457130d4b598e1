// Package createroute has the configuration of a container checked and adapted by the
// engine's own route for creating containers, as if a client had sent it.
package createroute
