// Mkdockerd makes Baleen's fork of Moby's daemon and builds it.
//
//	mkdockerd [-build DIR] [-o FILE]          build the fork
//	mkdockerd -stock [-build DIR] [-o FILE]   build the same tree without our patches
//	mkdockerd -source DIR [-release VERSION]  use the tree in a folder instead of the pinned module
//	mkdockerd -diff                           print the fork as a unified diff
//	mkdockerd -check VERSION|DIR              say which patches fit a version of Moby or the tree in a folder
//	mkdockerd -refresh                        write the series of patches from the git repository in the build folder
//	mkdockerd -vet                            run go vet over the packages of the tree with a file of ours
//	mkdockerd -types                          vet and test our packages that take the engine's types, with the line's
//	mkdockerd -tree [-stock]                  only make the tree, and print its folder
//	mkdockerd -test PKG [-stock] -o FILE      compile the tests of a package of the tree;
//	          [-overlay FILE]                 of stock, with sources replaced as for go build -overlay
//
// -engine LINE chooses the engine line; without it the variable ENGINE does. Its
// folder in compat/fork has the series of patches and the files to add.
//
// The source is the line's pinned module from the Go module proxy. It is copied
// once into the build folder; later runs touch only files whose text changed, so
// they cost what changed.
//
// To change a patch, add one or carry the series to another version of Moby, run
// -refresh: it makes a git repository in the build folder, series, with Moby's files
// and one commit for each patch. Change its commits, with `git rebase -i moby`
// for one, and run -refresh again, which writes the patches from them. If nothing
// was changed they are the same byte for byte. Hunks that do not fit are left out
// of their commits at first, which bear INCOMPLETE in their subjects until somebody
// completes them.
package main
