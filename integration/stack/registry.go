package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Registry is a registry of images that runs beside the daemons of a stack, if
// StartRegistry has been called.
const Registry Daemon = "registry"

// registryAddress needs no flag of dockerd: it takes a registry on the loopback
// without TLS. Every stack has a loopback of its own, so the port is free.
const registryAddress = "127.0.0.1:5000"

// StartRegistry starts a registry inside the stack and returns the address that
// names of images in it begin with. It ends with the stack. What is pushed is
// kept in the folder store, or below the stack's root if that is empty. Stacks
// may share one: then what one pushes another can pull.
func (s *Stack) StartRegistry(ctx context.Context, store string) (address string, err error) {
	return registryAddress, s.startRegistry(ctx, store, map[string]any{"addr": registryAddress}, 5000)
}

// StartRegistryTLS is StartRegistry at the port of HTTPS, with the certificate and
// the key of those files, so that it can stand in for hosts whose names
// [Config.Etc] leads to the loopback.
func (s *Stack) StartRegistryTLS(ctx context.Context, store, certificate, key string) error {
	return s.startRegistry(ctx, store, map[string]any{
		"addr": "127.0.0.1:443",
		"tls":  map[string]any{"certificate": certificate, "key": key},
	}, 443)
}

func (s *Stack) startRegistry(ctx context.Context, store string, http map[string]any, port uint16) error {
	binary := filepath.Join(s.bin, "registry")
	if err := needExecutable(binary); err != nil {
		return err
	}
	if store == "" {
		store = s.root.registryStore()
	}
	store, err := filepath.Abs(store)
	if err != nil {
		return fmt.Errorf("start registry: %w", err)
	}
	// YAML, of which JSON is a part.
	config, err := json.MarshalIndent(registryConfig(store, http), "", "\t")
	if err == nil {
		err = os.WriteFile(s.root.registryConfig(), config, 0o644)
	}
	if err != nil {
		return fmt.Errorf("configure registry: %w", err)
	}
	argv := []string{binary, "serve", s.root.registryConfig()}
	// It would send traces to a collector that is not there, and complain.
	return s.start(ctx, Registry, argv, func(context.Context) error { return s.listensOn(port) }, "OTEL_TRACES_EXPORTER=none")
}

// listensOn succeeds once a program inside has a port of the loopback. Connecting to
// it takes a process inside; the kernel's table of connections is seen from outside,
// too.
func (s *Stack) listensOn(port uint16) error {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", s.initPID))
	if err != nil {
		return err
	}
	// The kernel writes addresses in the machine's byte order.
	for _, loopback := range []string{"0100007F", "7F000001"} {
		if bytes.Contains(table, fmt.Appendf(nil, " %s:%04X 00000000:0000 0A ", loopback, port)) {
			return nil
		}
	}
	return fmt.Errorf("nothing listens on port %d", port)
}

func registryConfig(store string, http map[string]any) map[string]any {
	// It signs the state of uploads. Without, one is made up, with a warning.
	http["secret"] = "of a test"
	return map[string]any{
		"version": "0.1",
		"log":     map[string]any{"level": "warn", "accesslog": map[string]any{"disabled": true}},
		"storage": map[string]any{
			// No cache: another stack's registry may write to the store.
			"filesystem": map[string]any{"rootdirectory": store},
			// It would walk the store every day.
			"maintenance": map[string]any{"uploadpurging": map[string]any{"enabled": false}},
		},
		"http": http,
	}
}
