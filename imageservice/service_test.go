package imageservice_test

import (
	"reflect"
	"testing"

	"github.com/baleen-project/baleen/compat/fork"
	"github.com/baleen-project/baleen/imageservice"
)

// A method of the service hides Moby's of that name, so it must be among those that
// are to. That Moby has no other verbs is checked when the fork is made; that the
// parameters are right, when it is compiled.
func TestVerbs(t *testing.T) {
	service := reflect.TypeFor[*imageservice.Service]()
	for _, name := range fork.OurVerbs {
		if _, ok := service.MethodByName(name); !ok {
			t.Errorf("%s is to be Baleen's, and the service does not have it", name)
		}
	}
	for _, name := range fork.MobyVerbs {
		if _, ok := service.MethodByName(name); ok {
			t.Errorf("%s is to be Moby's, and the service hides it", name)
		}
	}
}
