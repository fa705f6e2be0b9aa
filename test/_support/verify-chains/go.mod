module alcazar.test/verify-chains

go 1.24
