// SPDX-License-Identifier: Apache-2.0

// web server|client HOST PORT ...: net/http at both ends, HTTP/2 unless told otherwise; each tells its exchanges.
//
// A client does `get COUNT AT_ONCE PATH`, `post COUNT AT_ONCE SIZE`, and `load MILLISECONDS AT_ONCE PATH`, which it
// answers with how many there were and tells no more of. The server answers /size/N with so many bytes, /echo with
// what it got, and /together/N only once N are there.
package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/ioutil"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	http1 = flags.Bool("http1", false, "no HTTP/2")
	quiet = flags.Bool("quiet", false, "a server that remembers nothing")
)

type exchange struct {
	Pid      int           `json:"pid"`
	Method   string        `json:"method"`
	URL      string        `json:"url"`
	Proto    string        `json:"proto"`
	Status   int           `json:"status"`
	Request  []interface{} `json:"request"`
	Response []interface{} `json:"response"`
}

var (
	remembering sync.Mutex
	exchanges   []exchange
)

func digest(data []byte) []interface{} {
	sum := sha256.Sum256(data)
	return []interface{}{len(data), hex.EncodeToString(sum[:])}
}

func remember(method, url, proto string, status int, request, response []byte) {
	remembering.Lock()
	defer remembering.Unlock()
	exchanges = append(exchanges, exchange{os.Getpid(), method, url, proto, status, digest(request), digest(response)})
}

func tell() {
	for _, each := range exchanges {
		line, err := json.Marshal(map[string]exchange{"exchange": each})
		check(err)
		say(string(line))
	}
}

// content of a path is as long as its last part says.
func content(path string) []byte {
	size, err := strconv.Atoi(path[strings.LastIndex(path, "/")+1:])
	check(err)
	return bytes.Repeat([]byte(path), size/len(path)+1)[:size]
}

type together struct {
	sync.Mutex
	there   int
	arrived chan struct{}
}

func (t *together) wait(count int) {
	t.Lock()
	t.there++
	if t.there == 1 {
		t.arrived = make(chan struct{})
	}
	arrived := t.arrived
	if t.there == count {
		t.there = 0
		close(arrived)
	}
	t.Unlock()
	<-arrived
}

func serve(at string) {
	var gathered together
	handle := func(writer http.ResponseWriter, request *http.Request) {
		body, err := ioutil.ReadAll(request.Body)
		check(err)
		answer := body
		if request.URL.Path != "/echo" {
			answer = content(request.URL.Path)
		}
		if strings.HasPrefix(request.URL.Path, "/together/") {
			gathered.wait(len(answer))
		}
		writer.Header().Set("Content-Type", "text/plain")
		writer.Header().Set("X-Server", strconv.Itoa(os.Getpid()))
		writer.Write(answer)
		if !*quiet {
			url := "https://" + request.Host + request.URL.RequestURI()
			remember(request.Method, url, request.Proto, 200, body, answer)
		}
	}
	listener, err := net.Listen("tcp", at)
	check(err)
	server := &http.Server{Handler: http.HandlerFunc(handle), TLSConfig: serverConfig()}
	server.ErrorLog = log.New(ioutil.Discard, "", 0)
	if *http1 {
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	go server.ServeTLS(listener, "", "")
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	say("ready", port)
	io.Copy(ioutil.Discard, os.Stdin)
	server.Close()
	tell()
}

// asker sends requests, so many at once.
type asker struct {
	client *http.Client
	base   string
	number int64
}

func (a *asker) one(method, path string, body []byte) ([]byte, string) {
	url := a.base + path
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	check(err)
	response, err := a.client.Do(request)
	check(err)
	defer response.Body.Close()
	answer, err := ioutil.ReadAll(response.Body)
	check(err)
	expected := body
	if method == "GET" {
		expected = content(request.URL.Path)
	}
	if response.StatusCode != 200 || !bytes.Equal(answer, expected) {
		panic("another answer to " + url)
	}
	return answer, response.Proto
}

func (a *asker) each(count, atOnce int, do func(number int64)) {
	var all sync.WaitGroup
	var begun int64
	for worker := 0; worker < atOnce; worker++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for atomic.AddInt64(&begun, 1) <= int64(count) {
				do(atomic.AddInt64(&a.number, 1))
			}
		}()
	}
	all.Wait()
}

func (a *asker) many(method string, count, atOnce int, last string) {
	a.each(count, atOnce, func(number int64) {
		path, body := last, []byte(nil)
		if method == "POST" {
			path, body = "/echo", content(fmt.Sprintf("/%d/%s", number, last))
		}
		path += fmt.Sprintf("?number=%d", number)
		answer, proto := a.one(method, path, body)
		remember(method, a.base+path, proto, 200, body, answer)
	})
}

func (a *asker) load(milliseconds, atOnce int, path string) (done int64) {
	end := time.Now().Add(time.Duration(milliseconds) * time.Millisecond)
	a.each(atOnce, atOnce, func(int64) {
		for time.Now().Before(end) {
			a.one("GET", path, nil)
			atomic.AddInt64(&done, 1)
		}
	})
	return done
}

func ask(at string) {
	transport := &http.Transport{
		TLSClientConfig:     clientConfig(),
		ForceAttemptHTTP2:   !*http1,
		MaxIdleConnsPerHost: 1000,
	}
	if *http1 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	asking := &asker{client: &http.Client{Transport: transport}, base: "https://" + at}
	say("ready")
	heard(func(words []string) {
		first, err := strconv.Atoi(words[1])
		check(err)
		atOnce, err := strconv.Atoi(words[2])
		check(err)
		if words[0] == "load" {
			say("done", asking.load(first, atOnce, words[3]))
			return
		}
		asking.many(strings.ToUpper(words[0]), first, atOnce, words[3])
		say("done", first)
	})
	transport.CloseIdleConnections()
	tell()
}

func main() {
	role, at := settings()
	if role == "server" {
		serve(at)
	} else {
		ask(at)
	}
}
