package api

// CheckRequest asks to look for what is wrong with what the daemon has in containerd.
type CheckRequest struct {
	// Repair has repaired what can be repaired without losing anything.
	Repair bool `json:",omitempty"`
	// Content has all blobs of images and revisions read, and their digests compared.
	Content bool `json:",omitempty"`
}

// Validate tells what is wrong with a request, in words for the one who made it.
func (CheckRequest) Validate() error { return nil }

// MaxFindings is how many findings a report lists.
const MaxFindings = 1000

// CheckReport says what is wrong.
type CheckReport struct {
	Findings []Finding // the first ones, at most MaxFindings
	Found    int       // how many there are
	Left     int       // how many of them are not repaired
	// Busy are the ids of containers of which nothing can be said: operations on them were
	// under way each time that they were looked at, they were locked, or a look took too
	// long.
	Busy   []string `json:",omitempty"`
	Looked Looked
}

// Looked counts what a check has looked at.
type Looked struct {
	Containers, Revisions, Leases, Images, Mounts int

	Blobs int   `json:",omitempty"` // that were read
	Bytes int64 `json:",omitempty"` // of these blobs
}

// Finding is one thing that is wrong.
type Finding struct {
	Kind FindingKind
	// Object is what it is about: the id of a container or lease, the name of a
	// snapshot or image, a digest, or a mount point.
	Object    string
	Container string `json:",omitempty"` // the id of the container that it belongs to
	Text      string // what is wrong
	Help      string // what a person can do
	// Repairable says that a check with Repair repairs it, and Repaired that this one
	// has. Failure is why it could not.
	Repairable bool   `json:",omitempty"`
	Repaired   bool   `json:",omitempty"`
	Failure    string `json:",omitempty"`
}

// FindingKind says what is wrong.
type FindingKind string

// The kinds of findings.
const (
	FindingNoSnapshot    FindingKind = "container-without-snapshot" // the files of a container are gone
	FindingUnreadable    FindingKind = "container-unreadable"       // a container's snapshots cannot be looked at
	FindingFolder        FindingKind = "folder-missing"             // a folder of a container is missing on disk
	FindingNoImage       FindingKind = "image-missing"              // a part of the image of a container or revision is missing
	FindingRecord        FindingKind = "record-unreadable"          // the record of a revision cannot be read
	FindingContradiction FindingKind = "labels-contradict"          // a snapshot's name, labels, parent and record do not agree
	FindingUnfinished    FindingKind = "move-unfinished"            // an operation was cut short
	FindingUnheld        FindingKind = "snapshot-unheld"            // containerd will remove a container's snapshot, which no lease holds
	FindingLease         FindingKind = "lease-leaked"               // the lease of an operation that is not under way
	FindingNoContainer   FindingKind = "lease-without-container"    // the lease of a container that the daemon does not have
	FindingMount         FindingKind = "mount-left"                 // a mount of Baleen's that nobody uses
	FindingBlobMissing   FindingKind = "blob-missing"               // an image that was unpacked lacks a blob
	FindingBlobDamaged   FindingKind = "blob-damaged"               // a blob has another digest than its name
	FindingBlobUnknown   FindingKind = "blob-unknown"               // a file in containerd's folder of blobs that it has no record of
)
