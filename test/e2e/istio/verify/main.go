// Command verify looks at a workload's certificate as a Go program in the mesh does: by crypto/x509 and crypto/tls alone.
//
//	go run . FOLDER SPIFFE-ID
//
// FOLDER holds key.pem, cert-chain.pem and root-cert.pem.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: verify FOLDER SPIFFE-ID")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
}

func run(folder, id string) error {
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "cert-chain.pem"), filepath.Join(folder, "key.pem"))
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(filepath.Join(folder, "root-cert.pem"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("no root in root-cert.pem")
	}
	chain, err := parse(pair.Certificate)
	if err != nil {
		return err
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if err := verify(chain, roots, usage, id); err != nil {
			return err
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if err := handshake(pair, roots, version, id); err != nil {
			return fmt.Errorf("%s: %w", tls.VersionName(version), err)
		}
	}
	fmt.Printf("OK %x: verified for client and server, mutual TLS 1.2 and 1.3\n", chain[0].SerialNumber)
	return nil
}

func parse(raw [][]byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for _, der := range raw {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, certificate)
	}
	return chain, nil
}

// verify accepts a chain whose leaf leads to a root and is for exactly that SPIFFE ID.
func verify(chain []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage, id string) error {
	leaf := chain[0]
	between := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	options := x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}}
	if _, err := leaf.Verify(options); err != nil {
		return err
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != id || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) != 0 {
		return fmt.Errorf("it is for %v %v, not for %s alone", leaf.URIs, leaf.DNSNames, id)
	}
	return nil
}

// handshake lets the workload talk to itself: each side shows its certificate and checks the other's.
func handshake(pair tls.Certificate, roots *x509.CertPool, version uint16, id string) error {
	check := func(usage x509.ExtKeyUsage) func(tls.ConnectionState) error {
		return func(state tls.ConnectionState) error { return verify(state.PeerCertificates, roots, usage, id) }
	}
	common := tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: version, MaxVersion: version}
	server, client := common.Clone(), common.Clone()
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, roots
	server.VerifyConnection = check(x509.ExtKeyUsageClientAuth)
	// There is no host name to check: VerifyConnection does all of it.
	client.InsecureSkipVerify, client.VerifyConnection = true, check(x509.ExtKeyUsageServerAuth)

	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return err
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() { served <- echo(listener) }()
	connection, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err != nil {
		return err
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, "hello"); err != nil {
		return err
	}
	answer := make([]byte, 5)
	if _, err := io.ReadFull(connection, answer); err != nil {
		return errors.Join(err, <-served)
	}
	if string(answer) != "hello" {
		return fmt.Errorf("answered %q", answer)
	}
	return <-served
}

func echo(listener net.Listener) error {
	connection, err := listener.Accept()
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = io.CopyN(connection, connection, 5)
	return err
}
