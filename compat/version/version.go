package version

// Version is Baleen's version, by semantic versioning. It shows in
// `dockerd --version` and in the storage driver's status of `docker info`.
const Version = "0.1.0"
