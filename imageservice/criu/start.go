package criu

// Start connects the processes of a task to their networks and starts them. Processes
// of a dump exist only after the start: they are started first.
func Start(restored bool, connect, start func() error) error {
	if restored {
		connect, start = start, connect
	}
	if err := connect(); err != nil {
		return err
	}
	return start()
}
