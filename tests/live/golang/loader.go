// SPDX-License-Identifier: Apache-2.0

// loader PLUGIN HOST:PORT PATH: a Go program without crypto/tls, whose plugin has it.
package main

import (
	"fmt"
	"os"
	"plugin"
)

func main() {
	loaded, err := plugin.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	speak, err := loaded.Lookup("Speak")
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	fmt.Scanln()
	fmt.Println("done", speak.(func(string, string) int)(os.Args[2], os.Args[3]))
}
