// Package cost measures the differ and user namespaces, if BALEEN_COST asks for it.
package cost
