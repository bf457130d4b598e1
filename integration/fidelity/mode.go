package fidelity

import (
	"slices"

	"github.com/baleen-project/baleen/diff/idmap"
)

// Mode is a way in which overlay mounts are made, or an unusual base image.
type Mode struct {
	Name string
	// MountOptions are added to every overlay that containerd mounts.
	MountOptions []string
	// DaemonConfig has settings of dockerd.
	DaemonConfig map[string]any
	// Snapshotter is containerd's overlayfs if it is empty.
	Snapshotter string
	// Proxy puts Baleen's differ in front of containerd's. It is for stock
	// dockerd, whose commits are right then, save that its snapshots hold what
	// the runtime needs, and that it ignores a layer's entry for the root.
	Proxy bool
	// LinkedDiffer has containerd, with which Baleen is linked, use Baleen's differ.
	// It is for stock dockerd as well.
	LinkedDiffer bool
	// Layers is how many layers the base image has at least.
	Layers int
	// Plain says that containerd's applier writes marks that overlays of this
	// mode do not read: no opaque directory in the base, and no unpacking with
	// that applier into an overlay.
	Plain bool
	// LostLinks says that a special file of the image that a container links
	// looks like a file of its own until the overlay is mounted anew: what it
	// was copied from is noted in an attribute that such files cannot have.
	LostLinks bool
	// MovedLinks says that files of the image in a directory that is renamed
	// lose their links to names elsewhere: the layer has them as new files, and
	// the other names, which are not in the upper, are known to nobody.
	MovedLinks bool
	// Sealed says that containers are stopped, and what they wrote is sealed as a
	// revision, before they are committed. They run again when they are compared.
	Sealed bool
	// Sparing says that containers have a file so large that they are sealed by
	// their commits (imageservice.FeatureSealCommits), and that they are changed
	// and committed a second time.
	Sparing bool
	// IDs is the mapping of dockerd's --userns-remap, if it is not empty.
	IDs idmap.Map
	// Except matches the names of cases that cannot be tried.
	Except string
	// Concerns are the cases that look different in an upper in this mode. The
	// others come to the same as in the default one.
	Concerns []Case
}

// Modes are those that the corpus is run in.
var Modes = []Mode{
	{Name: "default"},
	// A renamed directory is kept as a reference, a changed mode without the
	// data.
	{
		Name: "redirect", MountOptions: []string{"redirect_dir=on", "metacopy=on"}, MovedLinks: true,
		Concerns: slices.Concat(goneCases, turnedCases, ownerCases, linkCases, renameCases),
	},
	// As in rootless engines.
	{
		Name: "userxattr", MountOptions: []string{"userxattr"}, Plain: true, LostLinks: true,
		Concerns: slices.Concat(goneCases, turnedCases, metadataCases, linkCases),
	},
	{Name: "deep", Layers: 120},
	{Name: "baleen", Snapshotter: "baleen"},
	// The walking differ passes over many of these.
	{Name: "differ", Proxy: true, Concerns: contentCases},
	// The same, and the containers are on Baleen's snapshotter: beside containerd,
	// and in it.
	{Name: "driver", Proxy: true, Snapshotter: "baleen", Concerns: contentCases},
	{Name: "linked", LinkedDiffer: true, Snapshotter: "baleen", Concerns: contentCases},
	// Files that the image can share.
	{Name: "sealed", Sealed: true},
	// Files that a commit shares with the container.
	{
		Name: "sparing", Sparing: true,
		DaemonConfig: map[string]any{"features": map[string]any{"baleen-seal-commits": true}},
		Concerns:     largeCases,
	},
	// Ids mapped by mounting, and by a copy of the image.
	userns("userns", "mount"),
	userns("userns-copy", "copy"),
}

// userns is a mode in which containers have a user namespace.
func userns(name, way string) Mode {
	ids := []idmap.Range{{Container: 0, Host: 100000, Size: 65536}}
	return Mode{
		Name: name, IDs: idmap.Map{UIDs: ids, GIDs: ids},
		DaemonConfig: map[string]any{
			"userns-remap": "daemon", "containerd-namespace": "moby", "storage-opts": []string{"baleen.idmap=" + way},
		},
		// Devices cannot be made, nor owners that the namespace lacks.
		Except:   "device|^owners with large numbers$",
		Concerns: slices.Concat(goneCases, metadataCases, ownerCases, linkCases),
	}
}

// FindMode returns the mode of that name.
func FindMode(name string) (Mode, bool) {
	for _, m := range Modes {
		if m.Name == name {
			return m, true
		}
	}
	return Mode{}, false
}
