// Package compress packs streams with gzip and zstd.
//
// [NewWriter] uses several processors, and writes the same bytes with any number of
// them. [Parse] reads a [Method] as users write it, [KindOf] tells it of a layer's
// media type.
package compress
