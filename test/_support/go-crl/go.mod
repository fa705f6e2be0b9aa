module alcazar.test/crl

go 1.24
