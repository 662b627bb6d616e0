// SPDX-License-Identifier: Apache-2.0

// quic KEYLOG: both ends of a QUIC connection, whose records are none of crypto/tls; it makes the keys, though.
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/quic-go/quic-go"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func identity() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now, NotAfter: now.Add(24 * time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(err)
	return tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}
}

func serve(listener *quic.Listener) {
	conn, err := listener.Accept(context.Background())
	check(err)
	stream, err := conn.AcceptStream(context.Background())
	check(err)
	_, err = io.Copy(stream, stream)
	check(err)
	check(stream.Close())
}

func main() {
	keylog, err := os.Create(os.Args[1])
	check(err)
	protocols := []string{"echo"}
	serving := &tls.Config{Certificates: []tls.Certificate{identity()}, NextProtos: protocols}
	asking := &tls.Config{InsecureSkipVerify: true, NextProtos: protocols, KeyLogWriter: keylog}
	listener, err := quic.ListenAddr("127.0.0.1:0", serving, nil)
	check(err)
	fmt.Println("ready", listener.Addr().(*net.UDPAddr).Port)
	fmt.Scanln()
	go serve(listener)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := quic.DialAddr(ctx, listener.Addr().String(), asking, nil)
	check(err)
	stream, err := conn.OpenStreamSync(ctx)
	check(err)
	said := bytes.Repeat([]byte("over QUIC "), 1000)
	_, err = stream.Write(said)
	check(err)
	check(stream.Close())
	heard, err := io.ReadAll(stream)
	check(err)
	if !bytes.Equal(said, heard) {
		panic("another answer")
	}
	check(conn.CloseWithError(0, ""))
	fmt.Println("done")
}
