// Man writes the manual pages of `docker baleen` and of its commands into a folder:
//
//	go run ./cmd/docker-baleen/man DIR
//
// They are made from the commands themselves, by cobra's generator.
package main
