package main

import "fmt"

func main() {
	fmt.Println("Hello from Docker!")
	fmt.Println("If you can read this, the client reached the daemon, the daemon found the")
	fmt.Println("image, made a container of it and ran it, and this text came all the way back.")
}
