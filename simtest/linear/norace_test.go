//go:build !race

package linear

// thorough says whether tests play as many histories as their claims rest on.
const thorough = true
