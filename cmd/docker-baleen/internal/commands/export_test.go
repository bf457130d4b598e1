package commands

import "github.com/baleen-project/baleen/compat/api"

// PolicyFlag is --policy.
type PolicyFlag = policyFlag

// Read is what the values of the flag come to in a request.
func (p *policyFlag) Read() (policy string, paths []api.PathPolicy) { return p.policy, p.paths }
