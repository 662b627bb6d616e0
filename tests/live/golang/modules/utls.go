// SPDX-License-Identifier: Apache-2.0

// utls client HOST PORT: a client that says hello as a browser does, by a copy of crypto/tls under another name.
//
// Does `connect`, `get PATH`, `close`, and reports as ../peer.go.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net"
	"os"
	"strings"

	tls "github.com/refraction-networking/utls"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

type passed struct {
	count int
	hash  hash.Hash
}

func (p *passed) add(data []byte) {
	p.count += len(data)
	p.hash.Write(data)
}

func (p *passed) told() []any { return []any{p.count, hex.EncodeToString(p.hash.Sum(nil))} }

type end struct {
	*tls.UConn
	read, written passed
}

func (e *end) Read(buffer []byte) (int, error) {
	n, err := e.UConn.Read(buffer)
	e.read.add(buffer[:n])
	return n, err
}

func (e *end) get(path string) {
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
	n, err := e.Write([]byte(request))
	e.written.add([]byte(request)[:n])
	check(err)
	buffered := bufio.NewReader(e)
	size := 0
	for {
		line, err := buffered.ReadString('\n')
		check(err)
		if line == "\r\n" {
			break
		}
		fmt.Sscanf(line, "Content-Length: %d", &size)
	}
	_, err = io.CopyN(io.Discard, buffered, int64(size))
	check(err)
}

func (e *end) tell() {
	address := func(of net.Addr) []any { return []any{of.(*net.TCPAddr).IP.String(), of.(*net.TCPAddr).Port} }
	line, err := json.Marshal([]any{address(e.LocalAddr()), address(e.RemoteAddr()), e.read.told(), e.written.told()})
	check(err)
	var parts []json.RawMessage
	check(json.Unmarshal(line, &parts))
	const format = `{"pid":%d,"local":%s,"remote":%s,"read":%s,"written":%s}` + "\n"
	fmt.Printf(format, os.Getpid(), parts[0], parts[1], parts[2], parts[3])
}

func main() {
	at := net.JoinHostPort(os.Args[2], os.Args[3])
	var last *end
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch words := strings.Fields(lines.Text()); words[0] {
		case "connect":
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, 0, 1)}}
			raw, err := dialer.Dial("tcp", at)
			check(err)
			config := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}
			last = &end{UConn: tls.UClient(raw, config, tls.HelloChrome_Auto)}
			last.read.hash, last.written.hash = sha256.New(), sha256.New()
			check(last.Handshake())
		case "get":
			last.get(words[1])
		case "close":
			last.Close()
		}
		fmt.Println("done", 0)
	}
	last.tell()
}
