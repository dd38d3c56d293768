//go:build race

package simtest

// fixedSeeds are fewer under the race detector, which costs ten times as much and
// looks at what one seed shows as well as a thousand: two workers on one Summary.
const fixedSeeds = 60
