package ring

// Hash maps a key to 64 well mixed bits. It is fixed for ever: a key's partition, and so the node
// that holds its lock, follows from it. TestHashVectors holds it; a change there splits a mesh
// into nodes that look for one lock in two places.
//
// It is FNV-1a, 64 bit (RFC 9923), finished by mix. FNV-1a alone spreads the last bytes of
// a key badly: in FNV the low bits of the result depend on the low bits of the input alone, and
// keys that differ at the end only ("node:1", "node:2") land close together. It still tells such
// keys apart, so one finishing permutation is all that is missing.
//
// Hash has no secret: who chooses keys can aim them all at one partition.
func Hash(key string) uint64 {
	const (
		offsetBasis = 14695981039346656037
		prime       = 1099511628211
	)
	h := uint64(offsetBasis)
	for i := range len(key) {
		h ^= uint64(key[i])
		h *= prime
	}
	return mix(h)
}

// Partition returns the partition of a key, 0 to partitions-1. It panics if partitions is not
// positive: a view always has at least one.
func Partition(key string, partitions int) int {
	if partitions <= 0 {
		panic("ring: Partition needs at least one partition")
	}
	return int(Hash(key) % uint64(partitions))
}

// mix is a permutation of the 64-bit numbers in which each input bit turns over each output bit
// about half the time (TestHashAvalanche). It is the output function of SplitMix64 (Steele, Lea,
// Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014) with the constants of variant
// 13 of Stafford's "Better Bit Mixing" (2011).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
