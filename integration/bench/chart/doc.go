// Package chart draws bar charts as SVG: panels side by side, in each of them
// groups of horizontal bars on a logarithmic scale.
//
// The picture has a background of its own and follows the reader's light or dark
// scheme, so that it can be read wherever it is shown. It needs no fonts, scripts
// or other files. The same chart gives the same bytes.
package chart
