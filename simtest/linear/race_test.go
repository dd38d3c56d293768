//go:build race

package linear

// thorough is false under the race detector, which costs ten times as much and has
// little to find here: one goroutine checks one history.
const thorough = false
