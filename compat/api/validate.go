package api

import (
	"errors"
	"fmt"
)

// Validate tells what is wrong with a request, in words for the one who made
// it. Policies are left to imageservice.ParsePolicy.
func (r UpgradeRequest) Validate() error {
	if r.Image == "" {
		return errors.New("no image to upgrade to")
	}
	if r.HealthTimeout < 0 {
		return fmt.Errorf("health timeout of %d seconds: want 0, for the default, or more", r.HealthTimeout)
	}
	return nil
}

// Validate tells what is wrong with a request, in words for the one who made it.
func (r RollbackRequest) Validate() error {
	if r.Revision < 0 {
		return fmt.Errorf("revision %d: want 0, for the one before, or more", r.Revision)
	}
	return nil
}

// Validate tells what is wrong with a request, in words for the one who made it.
func (r PruneRequest) Validate() error {
	if r.Keep < 0 {
		return fmt.Errorf("keep %d revisions: want 0 or more", r.Keep)
	}
	if r.OlderThan < 0 {
		return fmt.Errorf("older than %v: want 0, for any age, or more", r.OlderThan)
	}
	return nil
}
