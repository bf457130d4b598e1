package compose_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/compose"
)

func TestOrder(t *testing.T) {
	for _, tc := range []struct {
		name      string
		dependsOn map[string]string
		want      string
	}{
		{"nothing", nil, ""},
		{"by name", map[string]string{"web": "", "db": "", "cache": ""}, "cache db web"},
		{"a chain", map[string]string{"a": "b:service_started:false", "b": "c:service_healthy:true", "c": ""}, "c b a"},
		{"two, and one that is not there", map[string]string{"app": "web:x:false,db:x:false,gone:x:false", "web": "", "db": ""}, "web db app"},
		{"as written by an older Compose", map[string]string{"app": "db,web", "web": "db", "db": ""}, "db web app"},
		{"a circle", map[string]string{"a": "b", "b": "a", "c": "a"}, "b a c"},
		{"itself", map[string]string{"a": "a"}, "a"},
	} {
		if got := strings.Join(compose.Order(tc.dependsOn), " "); got != tc.want {
			t.Errorf("%s: %s, not %s", tc.name, got, tc.want)
		}
	}
}

func TestIsDefaultImage(t *testing.T) {
	for image, want := range map[string]bool{
		"shop-web": true, "shop_web": true, "shop-web:latest": true, "docker.io/library/shop-web:latest": true,
		"shop-web:2": false, "web": false, "example.com/shop-web": false, "shop-web-1": false, "": false,
	} {
		if got := compose.IsDefaultImage("shop", "web", image); got != want {
			t.Errorf("%q: %v", image, got)
		}
	}
}
