// Package userns tests daemons whose containers have a user namespace.
package userns
