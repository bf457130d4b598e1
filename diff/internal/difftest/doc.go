// Package difftest makes trees and layers for the tests of diff and the packages
// below it, and watches their memory.
package difftest
