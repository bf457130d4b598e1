// Package compose tests what upgrades and rollbacks do to the containers of a project of
// Docker Compose, and Compose to containers that were upgraded or rolled back.
package compose
