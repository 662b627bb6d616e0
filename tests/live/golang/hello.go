// SPDX-License-Identifier: Apache-2.0

// hello: a Go program that speaks no TLS, and waits for its input to end.
package main

import (
	"fmt"
	"io"
	"io/ioutil"
	"os"
)

func main() {
	fmt.Println("ready")
	io.Copy(ioutil.Discard, os.Stdin)
}
