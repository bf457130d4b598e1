package server

import "time"

// SetSendTimeout changes for how long a message is sent, until restore is called.
func SetSendTimeout(d time.Duration) (restore func()) {
	before := sendTimeout
	sendTimeout = d
	return func() { sendTimeout = before }
}
