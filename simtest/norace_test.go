//go:build !race

package simtest

// fixedSeeds is how many seeds `go test ./simtest` plays.
const fixedSeeds = 400
