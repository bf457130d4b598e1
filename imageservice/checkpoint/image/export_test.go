package image

// RestoredName is the name of an image that a checkpoint has brought.
var RestoredName = restoredName
