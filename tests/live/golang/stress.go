// SPDX-License-Identifier: Apache-2.0

// stress server|client HOST PORT ...: many goroutines over few connections, small and large, on stacks that grow.
//
// A message is its number, its size and so many bytes; the answer to it is the same, from a goroutine of its own.
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"io/ioutil"
	"math"
	"math/rand"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

var (
	connections = flags.Int("connections", 200, "of the client")
	messages    = flags.Int("messages", 10000, "each of a goroutine")
	most        = flags.Int("most", 1<<20, "bytes of a message")
)

const headSize = 8

// shared is a connection that several goroutines write to.
type shared struct {
	*recorded
	writing sync.Mutex
}

// grown writes below so many frames: a goroutine's stack grows on the way.
//
//go:noinline
func (s *shared) grown(number uint32, data []byte, depth int) byte {
	var frame [256]byte
	frame[depth%len(frame)] = byte(depth)
	if depth > 0 {
		return frame[0] + s.grown(number, data, depth-1)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	message := make([]byte, headSize, headSize+len(data))
	binary.BigEndian.PutUint32(message, number)
	binary.BigEndian.PutUint32(message[4:], uint32(len(data)))
	if number%2 == 0 {
		_, err := s.Write(append(message, data...))
		check(err)
		return frame[0]
	}
	_, err := s.Write(message)
	check(err)
	_, err = s.Write(data)
	check(err)
	return frame[0]
}

// small reads up to so many bytes by way of the stack.
func (s *shared) small(into []byte) (int, error) {
	var buffer [700]byte
	size := len(into)
	if size > len(buffer) {
		size = len(buffer)
	}
	n, err := s.Conn.Read(buffer[:size])
	copy(into, buffer[:n])
	s.read.add(into[:n])
	return n, err
}

func (s *shared) fill(into []byte) error {
	for len(into) > 0 {
		read := s.Read
		if len(into) < 2000 {
			read = s.small
		}
		n, err := read(into)
		if err != nil && n == 0 {
			return err
		}
		into = into[n:]
	}
	return nil
}

func (s *shared) next() (number uint32, data []byte, err error) {
	head := make([]byte, headSize)
	if err = s.fill(head); err != nil {
		return
	}
	data = make([]byte, binary.BigEndian.Uint32(head[4:]))
	return binary.BigEndian.Uint32(head), data, s.fill(data)
}

func (s *shared) serve() {
	var answers sync.WaitGroup
	for {
		number, data, err := s.next()
		if err != nil {
			break
		}
		answers.Add(1)
		go func() {
			defer answers.Done()
			s.grown(number, data, int(number%100))
		}()
	}
	answers.Wait()
	s.Close()
}

func serve(at string) (ends []*recorded) {
	listener, err := net.Listen("tcp", at)
	check(err)
	config := serverConfig()
	var all sync.WaitGroup
	go func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			end := &shared{recorded: record(tls.Server(raw, config))}
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
	all.Wait()
	listener.Close()
	return ends
}

// payload is small more often than large, and another for each number.
func payload(number int) []byte {
	random := rand.New(rand.NewSource(int64(number)))
	size := int(math.Exp(math.Log(float64(*most)) * math.Pow(random.Float64(), 4)))
	if number == 0 {
		size = *most
	}
	data := make([]byte, size)
	random.Read(data)
	return data
}

// expect takes so many answers, in whatever order.
func (s *shared) expect(count int) {
	for ; count > 0; count-- {
		number, data, err := s.next()
		check(err)
		if !bytes.Equal(data, payload(int(number))) {
			panic("another answer")
		}
	}
	s.Close()
}

func ask(at string) (ends []*recorded) {
	config := clientConfig()
	all := make([]*shared, *connections)
	say("ready")
	heard(func([]string) {
		for i := range all {
			raw, err := sourced(i+1).Dial("tcp", at)
			check(err)
			all[i] = &shared{recorded: record(tls.Client(raw, config))}
			ends = append(ends, all[i].recorded)
		}
		var answered sync.WaitGroup
		for number := 0; number < *messages; number++ {
			go all[number%len(all)].grown(uint32(number), payload(number), number%100)
		}
		for i, each := range all {
			answered.Add(1)
			go func(each *shared, count int) {
				defer answered.Done()
				each.expect(count)
			}(each, (*messages-i+len(all)-1)/len(all))
		}
		answered.Wait()
		say("done")
	})
	return ends
}

func main() {
	role, at := settings()
	go func() {
		for range time.Tick(10 * time.Millisecond) {
			runtime.GC()
		}
	}()
	roles := map[string]func(string) []*recorded{"server": serve, "client": ask}
	for _, end := range roles[role](at) {
		end.tell()
	}
}
