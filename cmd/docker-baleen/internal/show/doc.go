// Package show prints what the commands of `docker baleen` tell: results, tables of
// revisions, plans of upgrades and rollbacks, progress and errors.
//
// Texts of the daemon can be a container's or an image's. All of them go through package
// printable before a terminal gets them. A program that reads the output through a pipe and
// asks for a format gets them unchanged.
package show
