// SPDX-License-Identifier: Apache-2.0

// What all programs of this folder share: a connection that remembers what passed, and the report of it that
// harness/truth.py reads. For Go 1.15 and later.
package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"net"
	"os"
	"strings"
	"sync"
	"unsafe"
)

// passed is one direction of a connection, by count and SHA-256.
type passed struct {
	count int
	hash  hash.Hash
}

func (p *passed) add(data []byte) {
	p.count += len(data)
	p.hash.Write(data)
}

func (p *passed) told() []interface{} {
	return []interface{}{p.count, hex.EncodeToString(p.hash.Sum(nil))}
}

// recorded is one end of a TLS connection.
type recorded struct {
	*tls.Conn
	local, remote net.Addr
	read, written passed
}

func record(conn *tls.Conn) *recorded {
	kept := &recorded{Conn: conn, local: conn.LocalAddr(), remote: conn.RemoteAddr()}
	kept.read.hash, kept.written.hash = sha256.New(), sha256.New()
	return kept
}

func (c *recorded) Read(buffer []byte) (int, error) {
	n, err := c.Conn.Read(buffer)
	c.read.add(buffer[:n])
	return n, err
}

func (c *recorded) Write(data []byte) (int, error) {
	n, err := c.Conn.Write(data)
	c.written.add(data[:n])
	return n, err
}

// report has the names and the order that harness/truth.py expects.
type report struct {
	Pid     int           `json:"pid"`
	Local   []interface{} `json:"local,omitempty"`
	Remote  []interface{} `json:"remote,omitempty"`
	Read    []interface{} `json:"read"`
	Written []interface{} `json:"written"`
	Session uintptr       `json:"ssl,omitempty"`
}

func address(of net.Addr) []interface{} {
	tcp, ok := of.(*net.TCPAddr)
	if !ok {
		return nil
	}
	return []interface{}{tcp.IP.String(), tcp.Port}
}

// tell prints what one end had; without a TCP address it is known by its tls.Conn.
func (c *recorded) tell() {
	said := report{Pid: os.Getpid(), Read: c.read.told(), Written: c.written.told()}
	if said.Local = address(c.local); said.Local == nil {
		said.Session = uintptr(unsafe.Pointer(c.Conn))
	} else {
		said.Remote = address(c.remote)
	}
	line, err := json.Marshal(said)
	check(err)
	say(string(line))
}

var saying sync.Mutex

func say(words ...interface{}) {
	saying.Lock()
	defer saying.Unlock()
	fmt.Println(words...)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// heard calls each for every line of standard input, split into words.
func heard(each func(words []string)) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		each(strings.Fields(lines.Text()))
	}
}

// sourced dials from an address of loopback of its own: ports come again, and no two connections may look alike.
func sourced(number int) *net.Dialer {
	ip := net.IPv4(127, 1, byte(number>>8), byte(number))
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}
}
