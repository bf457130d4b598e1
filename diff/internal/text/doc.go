// Package text shortens and quotes paths for errors, and names types of files.
package text
