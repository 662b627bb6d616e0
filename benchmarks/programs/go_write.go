// SPDX-License-Identifier: Apache-2.0

// go_write: what one Write of 64 bytes costs, over a connection that throws away what crypto/tls gives it, but for the
// first one of each time, which goes over its socket.
//
// Says "ready"; then for every line on standard input answers with the nanoseconds of one, the median of batches: what
// they leave fits the default ring.
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"io/ioutil"
	"net"
	"os"
	"runtime"
	"sort"
	"syscall"
	"unsafe"
)

const (
	writeSize = 64
	calls     = 50000
	batch     = 1000
	// CLOCK_THREAD_CPUTIME_ID, which package syscall has no name for.
	threadClock = 3
)

// emptied passes on what it is given unless it is deaf.
type emptied struct {
	net.Conn
	deaf bool
}

func (e *emptied) Write(data []byte) (int, error) {
	if e.deaf {
		return len(data), nil
	}
	return e.Conn.Write(data)
}

func connected() (*tls.Conn, *emptied) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	near, err := net.Dial("tcp", listener.Addr().String())
	check(err)
	far, err := listener.Accept()
	check(err)
	wire := &emptied{Conn: near}
	client, server := tls.Client(wire, trusting()), tls.Server(far, identity())
	done := make(chan error)
	go func() { done <- server.Handshake() }()
	check(client.Handshake())
	check(<-done)
	go func() { _, _ = io.Copy(ioutil.Discard, far) }()
	return client, wire
}

// threadNs is the CPU time of this thread, so that who else wanted it counts for nothing.
func threadNs() int64 {
	var now syscall.Timespec
	_, _, failed := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, threadClock, uintptr(unsafe.Pointer(&now)), 0)
	if failed != 0 {
		panic(failed)
	}
	return now.Nano()
}

func medianWrite(conn *tls.Conn, wire *emptied) float64 {
	data := make([]byte, writeSize)
	wire.deaf = false
	_, err := conn.Write(data)
	check(err)
	wire.deaf = true
	batches := make([]float64, calls/batch)
	for number := range batches {
		began := threadNs()
		for call := 0; call < batch; call++ {
			_, err := conn.Write(data)
			check(err)
		}
		batches[number] = float64(threadNs()-began) / batch
	}
	sort.Float64s(batches)
	return batches[len(batches)/2]
}

func main() {
	runtime.LockOSThread()
	conn, wire := connected()
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Printf("%.1f\n", medianWrite(conn, wire))
	}
}
