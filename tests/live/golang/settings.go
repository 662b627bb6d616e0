// SPDX-License-Identifier: Apache-2.0

// The flags behind ROLE HOST PORT, and the TLS configurations they mean.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"io/ioutil"
	"net"
	"os"
)

var (
	flags       = flag.NewFlagSet("golang", flag.ExitOnError)
	certificate = flags.String("certificate", "", "PEM file, also the only authority")
	key         = flags.String("key", "", "PEM file")
	version     = flags.String("tls", "", "1.2 or 1.3; nothing leaves it to the ends")
	keylog      = flags.String("keylog", "", "file to append secrets to")
)

// settings parses the command line: role, host:port.
func settings() (string, string) {
	check(flags.Parse(os.Args[4:]))
	return os.Args[1], net.JoinHostPort(os.Args[2], os.Args[3])
}

func common() *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	switch *version {
	case "1.2":
		config.MaxVersion = tls.VersionTLS12
	case "1.3":
		config.MinVersion = tls.VersionTLS13
	}
	if *keylog != "" {
		file, err := os.OpenFile(*keylog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0600)
		check(err)
		config.KeyLogWriter = file
	}
	return config
}

func serverConfig() *tls.Config {
	config := common()
	pair, err := tls.LoadX509KeyPair(*certificate, *key)
	check(err)
	config.Certificates = []tls.Certificate{pair}
	return config
}

func clientConfig() *tls.Config {
	config := common()
	authority, err := ioutil.ReadFile(*certificate)
	check(err)
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AppendCertsFromPEM(authority)
	config.ServerName = "localhost"
	// Of TLS 1.2 Go logs no key for a resumed session.
	if *version == "1.3" {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	}
	return config
}
