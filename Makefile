# Baleen: two targets do all the set-up on a fresh Linux machine (root, Go, git,
# make): `make run` shows the main job end to end, `make test` runs the tests.

SHELL      := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO    ?= go
GOTESTSUM := $(GO) tool -modfile=.ci/test.mod gotestsum
SUITE ?= image
RUN   ?=
QUICK ?=
FOR   ?=
FUZZ  ?= 30s
TARGET ?=
WITHOUT ?=

# The line of Moby's engine, for all targets: package compat/engine has the same
# default, and the same folders.
DEFAULT_ENGINE := 29
export ENGINE ?= $(DEFAULT_ENGINE)
OTHER_ENGINE := $(filter-out $(ENGINE),$(DEFAULT_ENGINE) 28.5)
BIN := bin$(if $(filter-out $(DEFAULT_ENGINE),$(ENGINE)),/$(ENGINE))

# As all programs in bin are built, so that tests and tools take from Go's cache what
# these have compiled.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath $(filter-out -trimpath,$(GOFLAGS))

BUILD_PROXY = $(GO) build -ldflags=-w -o $(BIN)/baleen-containerd ./cmd/baleen-containerd
BUILD_PLUGIN = $(GO) build -ldflags=-w -o $(BIN)/docker-baleen ./cmd/docker-baleen

# What of Moby's container suite concerns what Baleen does itself.
CONTAINER_TESTS := Commit|Diff|Create|Export|Copy|Remove|Rename|Inspect|Image|Mount|Overlayfs|Pause|^TestKill|Restart|LiveRestore|Size

# What of containerd's client tests concerns images, layers and snapshots.
IMAGE_TESTS := Image|Pull|Snapshotter|IDMapped|Export|Import|Convert|Lease|Issue13030|UserNamespaces|MountAtRuntime

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install the Debian packages that are missing
	@.ci/deps

.PHONY: build
build: deps ## build everything into bin/; the other engine with ENGINE=28.5, into bin/28.5
	$(GO) run ./cmd/mkdockerd -stock
	$(GO) run ./cmd/mkdockerd
	$(GO) run ./cmd/mkstack
	$(BUILD_PLUGIN)
	$(BUILD_PROXY)

.PHONY: newest
newest: # the newest containerd, with and without Baleen in it, which only tests need: minutes the first time
	$(GO) run ./cmd/mkstack containerd-2.4 containerd-2.4-baleen

.PHONY: buildx
buildx: # the docker command's plugin for BuildKit, without which its tests are skipped
	$(GO) run ./cmd/mkstack docker-buildx

.PHONY: compose
compose: # the docker command's plugin for compose projects, without which their tests are skipped
	$(GO) run ./cmd/mkstack docker-compose

.PHONY: criu
criu: ## unpack CRIU, without which the tests of processes in checkpoints are skipped
	.ci/criu .build/criu

.PHONY: install-plugin
install-plugin: ## build docker-baleen and put it where your docker command finds it
	$(BUILD_PLUGIN)
	install -D -m 755 $(BIN)/docker-baleen "$${DOCKER_CONFIG:-$$HOME/.docker}/cli-plugins/docker-baleen"

.PHONY: man
man: ## write the manual pages of docker baleen: man -M .build/man docker-baleen
	$(GO) run ./cmd/docker-baleen/man .build/man/man1

.PHONY: run
run: build demo ## build, then show the main job end to end: WITHOUT=criu as if there were none

.PHONY: demo
demo: # show it with what is built
	$(GO) run ./integration/demo $(if $(WITHOUT),-without='$(WITHOUT)')

.PHONY: up
up: build ## start a daemon to play with
	$(GO) run ./integration/up start

.PHONY: down
down: ## stop it and remove all that it had
	$(GO) run ./integration/up stop

.PHONY: test
test: build test-go test-suites ## all tests: ours, then Moby's suites on fork and stock

# The tests with daemons wait more than they compute, so four packages are tested at a
# time. Those that take longest begin first, or else one of them runs alone in the end;
# then come the others with daemons. What each test did is written to a file as well.
LONGEST := $(patsubst %,./integration/%,fidelity commit history checkpoint kill images revisions userns client fixture workloads limits) \
	./containerstore ./snapshotter ./imageservice/check
TESTS = $(GOTESTSUM) --format=pkgname-and-test-fails --hide-summary=output --jsonfile=.build/tests-$@.json

.PHONY: test-go
test-go: newest buildx compose
	-$(if $(filter criu,$(WITHOUT)),,timeout 5m .ci/criu .build/criu) # what needs it says so if it cannot be had
	BALEEN_SOAK=2m $(TESTS) -- -timeout=60m -p=4 $(LONGEST) ./integration/... ./...
	$(GO) -C integration/bench/chart test ./...

.PHONY: test-suites
test-suites:
	$(GO) run ./integration/moby -suite=image,build
	$(GO) run ./integration/moby -suite=container -run='$(CONTAINER_TESTS)'
	if [[ -x .build/criu/bin/criu ]]; then $(GO) run ./integration/moby -suite=checkpoint; else echo "Suite checkpoint is skipped: there is no CRIU."; fi
	$(GO) run ./integration/containerd -version=2.4 -run='$(IMAGE_TESTS)'

# What one engine line is tested with when the other is tested in full: what concerns
# the patches and the way to stock and back. They lie in these folders of integration.
SEAM_FOLDERS    := commit build images revisions history checkpoint userns stock fixture
SEAM_COMMIT     := Commit|CommitOfAContainerThatIsPaused|OrdersWhileFrozen|ClassicBuild|DiffFailsCleanly|CreateFollowsItsRequest
SEAM_IMAGES     := TagIsNeverMissing|SaveSomePlatforms|MissingLayer|LoadAndImportUnpack|ImageMountOfNoContainer
SEAM_REVISIONS  := RevisionRoutes|OneSwitchAtATime|SwitchesAmongOthers|StoppedStaysStopped|LostFolders|ShutdownEndsOperations
SEAM_CHECKPOINT := CheckpointFiles|RestoreRefuses|Rewind|ProcessesGoOn|DockerCheckpoint
SEAM_STOCK      := UserNamespaces|ImagesMapNoIDs|UserNamespacesBackToStock|GraphDriver.*|MoveBetweenStockAndFork|UpgradedContainersUnderStock|DataRootOfBefore
SEAM_TESTS      := ^Test($(SEAM_COMMIT)|$(SEAM_IMAGES)|$(SEAM_REVISIONS)|$(SEAM_CHECKPOINT)|$(SEAM_STOCK))$$

.PHONY: build-seam
build-seam: deps
	$(GO) run ./cmd/mkdockerd -stock
	$(GO) run ./cmd/mkdockerd
	$(GO) run ./cmd/mkstack docker docker-proxy docker-init containerd containerd-shim-runc-v2 runc registry
	$(BUILD_PLUGIN)

.PHONY: test-seam
test-seam: build-seam ## these tests alone, and Moby's image suite: ENGINE=28.5
	$(TESTS) -- -timeout=30m -p=1 -run='$(SEAM_TESTS)' $(SEAM_FOLDERS:%=./integration/%)
	$(GO) run ./integration/moby -suite=image

.PHONY: check-other-engine
check-other-engine: # build and vet the engine that is not chosen
	time $(MAKE) --no-print-directory ENGINE=$(OTHER_ENGINE) build-seam vet-fork

.PHONY: test-other-engine
test-other-engine: # what CI tests on it
	time $(MAKE) --no-print-directory ENGINE=$(OTHER_ENGINE) test-seam

.PHONY: test-all
test-all: test ## the same in all overlay modes, with the race detector, and Moby's command line suite
	CGO_ENABLED=1 $(GOTESTSUM) --format=pkgname-and-test-fails -- -race -timeout=60m -p=1 ./...
	$(GO) test -timeout=60m ./integration/fidelity -flavor=fork,stock -mode=all -v
	$(GO) run ./integration/moby -suite=container,volume,system,cli
	$(MAKE) --no-print-directory test-containerd

.PHONY: bench
bench: build ## measure beside stock, overlay2 and podman: QUICK=1 for smaller inputs
	$(GO) run ./integration/bench -install $(if $(QUICK),-quick) -json .build/bench.json
	$(GO) -C integration/bench/chart run . $(CURDIR)/.build/bench.json $(CURDIR)/.build/bench.svg
	$(MAKE) --no-print-directory bench-parts

.PHONY: bench-parts
bench-parts: # the snapshotter, the differ and user namespaces by themselves
	$(GO) test ./snapshotter/overlay -run='^$$' -bench=. -benchtime=1x
	BALEEN_COST=1 $(GO) test ./integration/cost -run='Cost$$' -v | grep -v level=

.PHONY: soak
soak: build ## kills and power cuts of the snapshotter, all fuzzers, then random changes until one is lost: FOR=10m
	BALEEN_KILL_ROUNDS=500 BALEEN_POWER_ROUNDS=40 $(GO) test ./snapshotter/overlay -run='^Test(Kill|PowerCut)$$' -timeout=60m -v
	$(MAKE) --no-print-directory fuzz
	$(GO) run ./integration/soak -in=raw,containers $(if $(FOR),-for=$(FOR))

# One worker each: with several, or with minutes for minimising what is new,
# fuzzers of file systems come to nothing but that.
.PHONY: fuzz
fuzz: ## every fuzzer there is for half a minute, or FUZZ=1h, those of TARGET='Apply|Policy' alone
	@failed=; \
	for dir in $$(grep -rl --include='*_test.go' --exclude-dir='_*' --exclude-dir='.?*' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		list=$$($(GO) test -list='^Fuzz.*($(TARGET))' $$dir); \
		for fuzzer in $$(grep '^Fuzz' <<<"$$list" || true); do \
			echo "$$dir $$fuzzer"; \
			$(GO) test $$dir -run='^$$' -fuzz="^$$fuzzer\$$" -fuzztime=$(FUZZ) -fuzzminimizetime=10x -parallel=1 || failed+=" $$fuzzer"; \
		done; \
	done; \
	if [[ $$failed ]]; then echo "These fuzzers failed, and kept why in testdata/fuzz:$$failed"; exit 1; fi

.PHONY: test-moby
test-moby: build ## one of Moby's suites: SUITE=image|build|container|volume|system|cli|checkpoint [RUN=regexp]
	$(GO) run ./integration/moby -suite='$(SUITE)' -run='$(RUN)'

.PHONY: test-containerd
test-containerd: build ## containerd's client tests, of 2.1, 2.3 and 2.4, on our snapshotter and differ
	$(GO) run ./integration/containerd

# What concerns control groups: commits and revisions of what runs.
CGROUP_FOLDERS := commit revisions
CGROUP_TESTS   := TestCommit$$|Frozen|TestUpgradeThatDoesNotComeUp|TestSnapshotsAmongStarts

.PHONY: test-uml
test-uml: build ## what this kernel may lack, in a user-mode Linux: project quotas, and control groups v2 (half an hour)
	mkdir -p .build/uml-tests
	$(GO) test -c -o .build/uml-tests/ ./integration/limits $(CGROUP_FOLDERS:%=./integration/%)
	.ci/uml .build/uml 'cd integration/limits && ../../.build/uml-tests/limits.test -test.run=TestStorageSize$$ -test.v | grep -v level='
	UML_CGROUPS=2 .ci/uml .build/uml 'for folder in $(CGROUP_FOLDERS); do (cd integration/$$folder && ../../.build/uml-tests/$$folder.test -test.run="$(CGROUP_TESTS)" -test.timeout=40m -test.v) || exit; done | grep -v level='

.PHONY: diff
diff: ## print the fork as a unified diff against Moby
	@$(GO) run ./cmd/mkdockerd -diff

.PHONY: lint
lint: ## run the linters, pinned in .ci/lint.mod
	$(GO) tool -modfile=.ci/lint.mod golangci-lint run ./...
	cd integration/bench/chart && $$($(GO) -C $(CURDIR) tool -n -modfile=.ci/lint.mod golangci-lint) run ./...

.PHONY: vet-fork
vet-fork: ## run go vet over the packages of the fork that hold a file of ours: ENGINE=28.5 or 29
	$(GO) run ./cmd/mkdockerd -vet

.PHONY: check-fork
check-fork: vet-fork # and go vet and the tests of our packages that take the engine's types
	$(GO) run ./cmd/mkdockerd -types

.PHONY: clean
clean: ## remove what was built, but not Go's caches
	rm -rf bin .build
