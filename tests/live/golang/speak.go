// SPDX-License-Identifier: Apache-2.0

// speak: crypto/tls in a file that something else loads: built as a plugin and as a C library.
package main

import "C"

import (
	"crypto/tls"
	"io"
)

// Speak asks HOST:PORT for PATH and takes all of the answer; its length.
func Speak(at, path string) int {
	conn, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		panic(err)
	}
	head := make([]byte, 4096)
	n, err := io.ReadAtLeast(conn, head, 68)
	if err != nil {
		panic(err)
	}
	return n
}

//export speak
func speak(at, path *C.char) C.int {
	return C.int(Speak(C.GoString(at), C.GoString(path)))
}

func main() {}
