// Command verify-chains says what crypto/x509 thinks of the chains in FOLDER, as test/_support/crossed-chains.ts writes them.
//
//	go run . FOLDER
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: verify-chains FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "verify-chains:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	pairs, err := os.Open(filepath.Join(folder, "pairs"))
	if err != nil {
		return err
	}
	defer pairs.Close()
	lines := bufio.NewScanner(pairs)
	for lines.Scan() {
		chain, bundle, _ := strings.Cut(lines.Text(), " ")
		shown, err := certificates(filepath.Join(folder, "chains", chain+".pem"))
		if err != nil {
			return err
		}
		trusted, err := certificates(filepath.Join(folder, "bundles", bundle+".pem"))
		if err != nil {
			return err
		}
		if err := verify(shown, trusted); err != nil {
			fmt.Printf("%s %s refuses: %v\n", chain, bundle, err)
		} else {
			fmt.Printf("%s %s accepts\n", chain, bundle)
		}
	}
	return lines.Err()
}

// verify judges as crypto/tls does: the first certificate is the leaf, the others may help.
func verify(shown, trusted []*x509.Certificate) error {
	between, roots := x509.NewCertPool(), x509.NewCertPool()
	for _, certificate := range shown[1:] {
		between.AddCert(certificate)
	}
	for _, certificate := range trusted {
		roots.AddCert(certificate)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		options := x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}}
		if _, err := shown[0].Verify(options); err != nil {
			return err
		}
	}
	return nil
}

func certificates(path string) ([]*x509.Certificate, error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, certificate)
	}
	if len(all) == 0 {
		return nil, errors.New(path + " holds no certificate")
	}
	return all, nil
}
