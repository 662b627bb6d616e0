// SPDX-License-Identifier: Apache-2.0

// odd CASE HOST 0 ...: both ends of connections that are not just a socket read and written in one breath.
//
// Says "ready", does its case at the first line it is told, and reports every end when its input ends. What a call
// that never returned was given is not reported: nobody was told that it was written.
package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"io/ioutil"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

var (
	sizes = []int{1, 100, 16384, 16385, 70000}
	ends  []*recorded
	at    string
	cases = map[string]func(){
		"tcp":     func() { talk(handshaken(overTCP(plain))) },
		"wrapped": func() { talk(handshaken(overTCP(wrap))) },
		"unix":    func() { talk(handshaken(overUnix())) },
		"pipe":    func() { talk(handshaken(net.Pipe())) },
		"another": another,
		"nested":  nested,
		"panic":   panics,
		"goexit":  goexits,
		"stack":   stacks,
		"short":   short,
		"reset":   reset,
	}
)

// wrapped is a net.Conn that crypto/tls knows nothing about.
type wrapped struct {
	net.Conn
	write func([]byte) (int, error)
	read  func([]byte) (int, error)
}

func wrap(conn net.Conn) net.Conn {
	return &wrapped{conn, conn.Write, conn.Read}
}

func plain(conn net.Conn) net.Conn { return conn }

func (w *wrapped) Write(data []byte) (int, error)  { return w.write(data) }
func (w *wrapped) Read(buffer []byte) (int, error) { return w.read(buffer) }

func over(network, at string, dialer *net.Dialer, around func(net.Conn) net.Conn) (net.Conn, net.Conn) {
	listener, err := net.Listen(network, at)
	check(err)
	defer listener.Close()
	client, err := dialer.Dial(network, listener.Addr().String())
	check(err)
	server, err := listener.Accept()
	check(err)
	return around(client), around(server)
}

func overTCP(around func(net.Conn) net.Conn) (net.Conn, net.Conn) {
	return over("tcp", at, sourced(len(ends)+1), around)
}

func overUnix() (net.Conn, net.Conn) {
	folder, err := ioutil.TempDir("", "plaintap-go")
	check(err)
	defer os.RemoveAll(folder)
	return over("unix", filepath.Join(folder, "socket"), &net.Dialer{}, plain)
}

func handshaken(client, server net.Conn) (*recorded, *recorded) {
	// Over a pipe without room nobody would take a ticket before both are done.
	config := serverConfig()
	config.SessionTicketsDisabled = true
	one, other := record(tls.Client(client, clientConfig())), record(tls.Server(server, config))
	ends = append(ends, one, other)
	done := make(chan error)
	go func() { done <- other.Handshake() }()
	check(one.Handshake())
	check(<-done)
	return one, other
}

func pattern(size int) []byte {
	return bytes.Repeat([]byte("what was said "), size/14+1)[:size]
}

func echo(server *recorded) {
	defer server.Close()
	buffer := make([]byte, 3000)
	for {
		n, err := server.Read(buffer)
		if n > 0 {
			server.Write(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

func ask(client *recorded, size int) {
	written := make(chan error)
	go func() {
		_, err := client.Write(pattern(size))
		written <- err
	}()
	_, err := io.ReadFull(client, make([]byte, size))
	check(err)
	check(<-written)
}

func talk(client, server *recorded) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		echo(server)
	}()
	for _, size := range sizes {
		ask(client, size)
	}
	go client.CloseWrite()
	io.Copy(ioutil.Discard, client)
	client.Close()
	<-done
}

// another is taken by a goroutine that has just written to a first one, which stays open meanwhile.
func another() {
	client, server := handshaken(overTCP(wrap))
	read := make(chan error)
	go func() {
		_, err := io.ReadFull(client, make([]byte, 1000))
		read <- err
	}()
	_, err := server.Write(pattern(1000))
	check(err)
	check(<-read)
	raw, other := overTCP(wrap)
	second, taken := record(tls.Client(raw, clientConfig())), record(tls.Server(other, serverConfig()))
	ends = append(ends, second, taken)
	done := make(chan error)
	go func() { done <- second.Handshake() }()
	check(taken.Handshake())
	check(<-done)
	talk(second, taken)
	talk(client, server)
}

func nested() {
	client, server := handshaken(overTCP(plain))
	talk(handshaken(client, server))
}

// broken is a connection that worked, and whose client's next write or read does something else.
func broken(write, read func([]byte) (int, error)) (client *recorded, end func()) {
	raw, other := overTCP(wrap)
	client, server := handshaken(raw, other)
	done := make(chan struct{})
	go func() {
		defer close(done)
		echo(server)
	}()
	ask(client, 1000)
	if write != nil {
		raw.(*wrapped).write = write
	}
	if read != nil {
		raw.(*wrapped).read = read
	}
	return client, func() {
		raw.Close()
		<-done
	}
}

func panics() {
	for round := 0; round < 3; round++ {
		client, end := broken(func([]byte) (int, error) { panic("refused") }, nil)
		func() {
			defer func() {
				if recover() != "refused" {
					panic("no panic came through Write")
				}
			}()
			client.Write(pattern(500))
		}()
		// On the same goroutine, at the same place of its stack.
		talk(handshaken(overTCP(plain)))
		end()
	}
}

func goexits() {
	for round := 0; round < 3; round++ {
		client, end := broken(nil, func([]byte) (int, error) {
			runtime.Goexit()
			return 0, nil
		})
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			client.Read(make([]byte, 500))
			panic("Read returned")
		}()
		<-gone
		talk(handshaken(overTCP(plain)))
		end()
	}
}

// deeper reads into its own stack, below so many frames more: with depths of all sizes some stack has to grow, and
// so to move, between the call of Read and its return.
//
//go:noinline
func deeper(client *tls.Conn, depth int) (taken []byte, err error) {
	if depth > 0 {
		return deeper(client, depth-1)
	}
	var buffer [1200]byte
	n, err := client.Read(buffer[:])
	return append(taken, buffer[:n]...), err
}

func stacks() {
	client, server := handshaken(overTCP(plain))
	done := make(chan struct{})
	go func() {
		defer close(done)
		echo(server)
	}()
	for depth := 0; depth < 300; depth++ {
		_, err := client.Write(pattern(3000 + depth))
		check(err)
		for left := 3000 + depth; left > 0; {
			taken := make(chan []byte)
			go func() {
				read, err := deeper(client.Conn, depth)
				check(err)
				taken <- read
			}()
			piece := <-taken
			client.read.add(piece)
			left -= len(piece)
		}
	}
	client.Close()
	<-done
}

// short writes more than fits, until its time is over.
func short() {
	raw, other := overTCP(plain)
	client, server := handshaken(raw, other)
	check(client.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)))
	n, err := client.Write(make([]byte, 16<<20))
	if err == nil || n == 0 || n == 16<<20 {
		panic("everything was written, or nothing")
	}
	raw.Close()
	io.Copy(ioutil.Discard, server)
	server.Close()
}

// reset ends a connection before what was sent over it is read.
func reset() {
	raw, other := overTCP(plain)
	client, server := handshaken(raw, other)
	for _, size := range []int{1000, 5000} {
		_, err := client.Write(pattern(size))
		check(err)
		if size == 5000 {
			check(raw.(*net.TCPConn).SetLinger(0))
			check(raw.Close())
		}
		_, err = io.ReadFull(server, make([]byte, size))
		check(err)
	}
	server.Close()
}

func main() {
	var what string
	what, at = settings()
	say("ready")
	heard(func([]string) { cases[what]() })
	for _, end := range ends {
		end.tell()
	}
}
