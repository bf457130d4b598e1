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
	binary := filepath.Join(s.bin, "registry")
	if err := needExecutable(binary); err != nil {
		return "", err
	}
	if store == "" {
		store = s.root.registryStore()
	}
	if store, err = filepath.Abs(store); err != nil {
		return "", fmt.Errorf("start registry: %w", err)
	}
	// YAML, of which JSON is a part.
	config, err := json.MarshalIndent(registryConfig(store), "", "\t")
	if err == nil {
		err = os.WriteFile(s.root.registryConfig(), config, 0o644)
	}
	if err != nil {
		return "", fmt.Errorf("configure registry: %w", err)
	}
	argv := []string{binary, "serve", s.root.registryConfig()}
	// It would send traces to a collector that is not there, and complain.
	return registryAddress, s.start(ctx, Registry, argv, s.registryListens, "OTEL_TRACES_EXPORTER=none")
}

// registryListens succeeds once the registry has its port. Connecting to it takes
// a process inside; the kernel's table of connections is seen from outside, too.
func (s *Stack) registryListens(context.Context) error {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", s.initPID))
	if err != nil {
		return err
	}
	const listening = " 0100007F:1388 00000000:0000 0A "
	// The kernel writes addresses in the machine's byte order.
	const swapped = " 7F000001:1388 00000000:0000 0A "
	if !bytes.Contains(table, []byte(listening)) && !bytes.Contains(table, []byte(swapped)) {
		return fmt.Errorf("nothing listens on %s", registryAddress)
	}
	return nil
}

func registryConfig(store string) map[string]any {
	return map[string]any{
		"version": "0.1",
		"log":     map[string]any{"level": "warn", "accesslog": map[string]any{"disabled": true}},
		"storage": map[string]any{
			// No cache: another stack's registry may write to the store.
			"filesystem": map[string]any{"rootdirectory": store},
			// It would walk the store every day.
			"maintenance": map[string]any{"uploadpurging": map[string]any{"enabled": false}},
		},
		"http": map[string]any{
			"addr": registryAddress,
			// It signs the state of uploads. Without, one is made up, with a warning.
			"secret": "of a test",
		},
	}
}
