// Inside is what the benchmark runs in containers. It is one static program
// without further files, bind-mounted there:
//
//	inside watch SOCKET                            note the pauses that it suffers
//	inside random DIR FILES BYTES SEED             write incompressible files
//	inside text DIR FILES BYTES SEED               write files that are like text
//	inside edit FILE SEED                          write one small file anew
//	inside unpack TAR DIR SEED                     unpack a tar file, and one file of the seed's
//	inside prune DIR FILES FOLDERS RENAMES SEED    delete files and folders, rename folders
//	inside time PROGRAM ARG...                     run a program, print what it cost
//
// What it writes follows from the seed alone.
package main
