// Docker-baleen is a plugin of the docker command for containers with
// revisions and checkpoints:
//
//	docker baleen snapshot|upgrade|rollback|revisions|prune|checkpoint CONTAINER
//	docker baleen restore REF
//	docker baleen df
//	docker baleen check
//
// It is made with Docker's own plugin library and goes to the daemon that
// docker goes to: by context, DOCKER_HOST, ssh or TLS. The docker command finds
// it as docker-baleen in ~/.docker/cli-plugins, where `make install-plugin`
// puts it.
//
// Docker's modules are compiled here by the rules of Go 1.16, for they have no
// go.mod. That is safe as long as none of the loops in them means something
// else by these rules, which a test holds.
package main
