module alcazar.test/verify

go 1.24
