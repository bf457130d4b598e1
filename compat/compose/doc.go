// Package compose reads the labels that Docker Compose puts on the containers of a project.
package compose
