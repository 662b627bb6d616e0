// SPDX-License-Identifier: Apache-2.0

// peer server|client HOST PORT ...: what ../programs/tls_peer.py is, with crypto/tls.
//
// A client does `connect`, `get PATH`, `close`, `many N PATH`; a server serves until its input ends.
package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"io/ioutil"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

const headEnd = "\r\n\r\n"

// conversation is a connection and what of it was read ahead.
type conversation struct {
	*recorded
	pending []byte
}

func (c *conversation) more() bool {
	// Of a size that divides nothing, so that records are read in pieces.
	buffer := make([]byte, 5000)
	n, _ := c.Read(buffer)
	c.pending = append(c.pending, buffer[:n]...)
	return n > 0
}

func (c *conversation) take(size int) []byte {
	for len(c.pending) < size && c.more() {
	}
	if len(c.pending) < size {
		size = len(c.pending)
	}
	taken := c.pending[:size]
	c.pending = c.pending[size:]
	return taken
}

func (c *conversation) head() string {
	for {
		if end := bytes.Index(c.pending, []byte(headEnd)); end >= 0 {
			return string(c.take(end + len(headEnd)))
		}
		if !c.more() {
			return ""
		}
	}
}

// content of a path is as long as its last part says.
func content(path string) []byte {
	size, err := strconv.Atoi(path[strings.LastIndex(path, "/")+1:])
	check(err)
	return bytes.Repeat([]byte(path), size/len(path)+1)[:size]
}

func answer(path string) []byte {
	body := content(path)
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", len(body))
	return append([]byte(head), body...)
}

func (c *conversation) get(path string) {
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: localhost\r\nX-Pid: %d\r\n\r\n", path, os.Getpid())
	_, err := c.Write([]byte(request))
	check(err)
	head, expected := c.head(), answer(path)
	if body := c.take(len(content(path))); !strings.HasPrefix(head, "HTTP/1.1 200") || !bytes.HasSuffix(expected, body) {
		panic("another answer to " + path)
	}
}

func (c *conversation) serve() {
	defer c.Close()
	for head := c.head(); head != ""; head = c.head() {
		if _, err := c.Write(answer(strings.Fields(head)[1])); err != nil {
			return
		}
	}
}

func serve(at string) (ends []*recorded) {
	listener, err := net.Listen("tcp", at)
	check(err)
	config := serverConfig()
	var all, accepting sync.WaitGroup
	accepting.Add(1)
	go func() {
		defer accepting.Done()
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			end := &conversation{recorded: record(tls.Server(raw, config))}
			ends = append(ends, end.recorded)
			all.Add(1)
			go func() {
				defer all.Done()
				end.serve()
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	say("ready", port)
	io.Copy(ioutil.Discard, os.Stdin)
	listener.Close()
	accepting.Wait()
	all.Wait()
	return ends
}

func connect(at string, config *tls.Config, number int) *conversation {
	raw, err := sourced(number).Dial("tcp", at)
	check(err)
	conn := tls.Client(raw, config)
	check(conn.Handshake())
	return &conversation{recorded: record(conn)}
}

func ask(at string) (ends []*recorded) {
	config := clientConfig()
	var last *conversation
	open := func() {
		last = connect(at, config, len(ends)+1)
		ends = append(ends, last.recorded)
	}
	say("ready")
	heard(func(words []string) {
		switch words[0] {
		case "connect":
			open()
		case "get":
			last.get(words[1])
		case "close":
			last.Close()
		case "many":
			count, err := strconv.Atoi(words[1])
			check(err)
			for ; count > 0; count-- {
				open()
				last.get(words[2])
				last.Close()
			}
		}
		resumed := 0
		if last != nil && last.ConnectionState().DidResume {
			resumed = 1
		}
		say("done", resumed)
	})
	return ends
}

func main() {
	role, at := settings()
	roles := map[string]func(string) []*recorded{"server": serve, "client": ask}
	for _, end := range roles[role](at) {
		end.tell()
	}
}
