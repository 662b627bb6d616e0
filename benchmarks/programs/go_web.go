// SPDX-License-Identifier: Apache-2.0

// go_web server: net/http, says "ready PORT" and answers everything with the same 1 KB until its input ends.
// go_web client PORT http1|http2: net/http, says "ready"; `most MS` is as many requests as go in that time, `paced RATE
// MS` a schedule, where what falls behind is sent late, not left out. Answers "REQUESTS SECONDS P50_US P99_US", times
// from when a request was due.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	atOnce   = 32
	bodySize = 1024
)

func serve() {
	body := bytes.Repeat([]byte("0123456789abcdef"), bodySize/16)
	handler := http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		writer.Header().Set("Content-Type", "text/plain")
		_, _ = writer.Write(body)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{Handler: handler, TLSConfig: identity(), ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	check(err)
	fmt.Println("ready", port)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

type asker struct {
	client *http.Client
	url    string
}

func (a *asker) one() {
	response, err := a.client.Get(a.url)
	check(err)
	size, err := io.Copy(io.Discard, response.Body)
	check(err)
	response.Body.Close()
	if size != bodySize {
		panic("another answer")
	}
}

// run lets each of the workers ask when it is due, until the time is over; step 0 is at once.
func (a *asker) run(length, step time.Duration) []time.Duration {
	began := time.Now()
	took := make([][]time.Duration, atOnce)
	var all sync.WaitGroup
	for worker := range took {
		all.Add(1)
		go func(worker int) {
			defer all.Done()
			due := began.Add(step * time.Duration(worker) / atOnce)
			for due.Before(began.Add(length)) && time.Since(began) < length {
				time.Sleep(time.Until(due))
				a.one()
				took[worker] = append(took[worker], time.Since(due))
				due = due.Add(step)
				if step == 0 {
					due = time.Now()
				}
			}
		}(worker)
	}
	all.Wait()
	var flat []time.Duration
	for _, each := range took {
		flat = append(flat, each...)
	}
	sort.Slice(flat, func(i, j int) bool { return flat[i] < flat[j] })
	return flat
}

func ask(port, protocol string) {
	transport := &http.Transport{TLSClientConfig: trusting(), MaxIdleConnsPerHost: atOnce, ForceAttemptHTTP2: true}
	if protocol == "http1" {
		transport.ForceAttemptHTTP2 = false
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	asking := &asker{&http.Client{Transport: transport}, "https://127.0.0.1:" + port + "/1k.txt"}
	asking.one()
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		milliseconds, err := strconv.Atoi(words[len(words)-1])
		check(err)
		var step time.Duration
		if words[0] == "paced" {
			rate, err := strconv.Atoi(words[1])
			check(err)
			step = time.Second * atOnce / time.Duration(rate)
		}
		began := time.Now()
		took := asking.run(time.Duration(milliseconds)*time.Millisecond, step)
		seconds := time.Since(began).Seconds()
		p50, p99 := took[len(took)/2], took[len(took)*99/100]
		fmt.Println(len(took), seconds, p50.Microseconds(), p99.Microseconds())
	}
}

func main() {
	if os.Args[1] == "server" {
		serve()
	} else {
		ask(os.Args[2], os.Args[3])
	}
}
