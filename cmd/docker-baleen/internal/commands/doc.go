// Package commands has the commands of `docker baleen`, one file each. Package show
// prints what they tell.
//
// Results go to the standard output: one line for a person, a number with
// --quiet, or what --format asks for. What goes on meanwhile goes to the
// standard error, as a line that moves on a terminal and as plain lines
// elsewhere, and so do warnings.
//
// The exit status is 0 for success, 3 for a container that did not come up and
// was rolled back, 4 for one that was moved and not seen to be up, 125 for options that do not exist, 130 for an upgrade or
// rollback that a signal ended, and 1 for other errors. That of a check is 1 if
// something is wrong, and 2 for errors.
package commands
