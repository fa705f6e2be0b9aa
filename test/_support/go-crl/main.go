// Command crl reads a CRL as a Go program does, by crypto/x509 alone, and prints what it understood.
//
//	crl CRL.der ISSUER.der
package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: crl CRL.der ISSUER.der")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "crl:", err)
		os.Exit(1)
	}
}

func run(crl, issuer string) error {
	der, err := os.ReadFile(crl)
	if err != nil {
		return err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return err
	}
	der, err = os.ReadFile(issuer)
	if err != nil {
		return err
	}
	parent, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	if err := list.CheckSignatureFrom(parent); err != nil {
		return err
	}
	fmt.Printf("number %s of %s, key %x, %s to %s\n", list.Number, list.Issuer, list.AuthorityKeyId, at(list.ThisUpdate), at(list.NextUpdate))
	for _, entry := range list.RevokedCertificateEntries {
		fmt.Printf("%x at %s for %d\n", entry.SerialNumber, at(entry.RevocationTime), entry.ReasonCode)
	}
	return nil
}

func at(moment time.Time) string { return moment.UTC().Format(time.RFC3339) }
