// Package printable shows text that others have chosen: names, messages, paths and
// settings of containers, images and checkpoints, and errors that hold such.
//
// A terminal obeys control characters, and some characters change the order of
// others (U+202E and its like) or take no place. All these, and bytes that are no
// UTF-8, are shown as Go writes them in a string literal: \x1b, \u202e. What
// strconv.IsPrint calls printable is shown as it is.
package printable
