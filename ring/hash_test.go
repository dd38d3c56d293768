package ring

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/bits"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestHashVectors holds Hash for ever. If it fails, mend Hash, not the vectors.
func TestHashVectors(t *testing.T) {
	for _, test := range []struct {
		key       string
		hash      uint64
		partition int // of 271
	}{
		// Computed by an implementation in another language, from the text of Hash.
		{"", 0xf52a15e9a9b5e89b, 31},
		{"a", 0x02c0bdbf481420f8, 84},
		{"\x00", 0x25fc6dd36ce04b20, 194},
		{"\xff", 0x4f2db50f124040cd, 264},
		{"order/1", 0x452f57046a3b1753, 243},
		{"order/2", 0x0075bc4cd359b78a, 200},
		{"schlüssel/日本語/🔒", 0xc3e84f94457adf94, 57},
		{"\xc3\x28 not UTF-8", 0xd06b68e5dcdd10b4, 97},
		{strings.Repeat("k", 512), 0x2849b398e63b52c1, 55},
	} {
		if got := Hash(test.key); got != test.hash {
			t.Errorf("Hash(%.20q) = %#016x, want %#016x", test.key, got, test.hash)
		}
		if got := Partition(test.key, 271); got != test.partition {
			t.Errorf("Partition(%.20q, 271) = %d, want %d", test.key, got, test.partition)
		}
	}
}

// TestMixVectors compares with SplitMix64 seeded with 1234567, whose output is published
// (rosettacode.org, Pseudo-random numbers/Splitmix64).
func TestMixVectors(t *testing.T) {
	state := uint64(1234567)
	for _, want := range []uint64{
		6457827717110365317,
		3203168211198807973,
		9817491932198370423,
		4593380528125082431,
		16408922859458223821,
	} {
		state += 0x9e3779b97f4a7c15
		if got := mix(state); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

func rawFNV(key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	return h.Sum64()
}

func TestHashIsFinishedFNV(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := string(rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "key"))
		if got, want := Hash(key), mix(rawFNV(key)); got != want {
			t.Fatalf("got %#x, want %#x", got, want)
		}
	})
}

// TestHashAvalanche turns over each bit of keys of some lengths: each bit of the hash must turn over
// in about half of the cases.
func TestHashAvalanche(t *testing.T) {
	const trials = 1000
	worst := 0.0
	for _, length := range []int{1, 4, 16} {
		for bit := range 8 * length {
			var turned [64]int
			for trial := range trials {
				// Random text, since the 256 keys of one byte are too few: the rest of the key is a
				// prefix that does not change.
				key := fmt.Appendf(nil, "%d:%s", trial, strings.Repeat("k", length))
				before := Hash(string(key))
				key[len(key)-length+bit/8] ^= 1 << (bit % 8)
				for d := before ^ Hash(string(key)); d != 0; d &= d - 1 {
					turned[bits.TrailingZeros64(d)]++
				}
			}
			for _, n := range turned {
				worst = max(worst, math.Abs(float64(n)/trials-0.5))
			}
		}
	}
	t.Logf("farthest from one half over all pairs of bits: %.3f", worst)
	if worst > 0.1 { // more than 6 standard deviations
		t.Errorf("%.3f from one half, want 0.1 at most", worst)
	}
}

// keyShapes are kinds of keys that people use.
var keyShapes = map[string]func(i int) string{
	"numbers":       func(i int) string { return fmt.Sprint(i) },
	"prefixed":      func(i int) string { return fmt.Sprintf("order/%d", i) },
	"number first":  func(i int) string { return fmt.Sprintf("%d/lock", i) },
	"padded, long":  func(i int) string { return fmt.Sprintf("%0200d", i) },
	"little endian": func(i int) string { return string([]byte{byte(i), byte(i >> 8), byte(i >> 16), 0}) },
}

// TestPartitionsEven: keys fall on partitions as evenly as if thrown.
func TestPartitionsEven(t *testing.T) {
	const keys = 100_000
	for shape, key := range keyShapes {
		for _, partitions := range []int{16, 256, 271} {
			count := make([]int, partitions)
			for i := range keys {
				count[Partition(key(i), partitions)]++
			}
			// The chi-square statistic of d degrees of freedom is about normal: mean d, variance 2d.
			mean, chi := float64(keys)/float64(partitions), 0.0
			for _, n := range count {
				chi += (float64(n) - mean) * (float64(n) - mean) / mean
			}
			d := float64(partitions - 1)
			off := (chi - d) / math.Sqrt(2*d)
			t.Logf("%-14s %3d partitions: fullest %.3f × the mean, %+.1f standard deviations",
				shape, partitions, float64(slices.Max(count))/mean, off)
			if off > 5 {
				t.Errorf("%s: %.1f standard deviations too uneven over %d partitions", shape, off, partitions)
			}
		}
	}
}

// TestHashOnCircle shows why raw FNV-1a will not do: 10 nodes at 20 points each on a circle without
// a load bound, as consistent sets them up, and the arc of the node with the longest. The best to be
// had of 20 random points is about 1.4 times the mean, since arcs differ by chance.
func TestHashOnCircle(t *testing.T) {
	const nodes, points = 10, 20
	longest := func(hash func(string) uint64, name func(i int) string) float64 {
		type point struct {
			at   uint64
			node int
		}
		var circle []point
		for node := range nodes {
			for i := range points {
				circle = append(circle, point{hash(fmt.Sprintf("%d:%s", i, name(node))), node})
			}
		}
		sort.Slice(circle, func(i, j int) bool { return circle[i].at < circle[j].at })
		var arc [nodes]float64
		last := circle[len(circle)-1].at
		for _, p := range circle {
			arc[p.node] += float64(p.at - last) // wraps around at the first
			last = p.at
		}
		return slices.Max(arc[:]) * nodes / math.Exp2(64)
	}
	for shape, name := range map[string]func(i int) string{
		"node-0 …":        func(i int) string { return fmt.Sprintf("node-%d", i) },
		"10.0.0.1:7946 …": func(i int) string { return fmt.Sprintf("10.0.0.%d:7946", i+1) },
		"random IDs":      func(i int) string { return fmt.Sprintf("%016x", mix(uint64(i)+1)) },
	} {
		ours, raw := longest(Hash, name), longest(rawFNV, name)
		t.Logf("%-16s longest of 10: %.2f × the mean; with raw FNV-1a %.2f", shape, ours, raw)
		if ours > 1.8 {
			t.Errorf("%s: %.2f × the mean, want 1.8 at most", shape, ours)
		}
	}
}

// TestKeysPerNode: 100,000 keys on 10 nodes, by owner.
func TestKeysPerNode(t *testing.T) {
	const keys, nodes = 100_000, 10
	var members []Member
	for i := range nodes {
		members = append(members, Member{ID: NodeID(mix(uint64(i) + 1))})
	}
	groups := Assign(Input{Members: members, Partitions: 271, Replicas: 3})
	for shape, key := range keyShapes {
		count := make(map[NodeID]int)
		for i := range keys {
			count[groups[Partition(key(i), 271)][0]]++
		}
		over := overMean(count, nodes)
		t.Logf("%-14s fullest of 10 nodes: %.3f × the mean", shape, over)
		if over > 1.35 { // the load bound, 34/27.1, and chance
			t.Errorf("%s: the fullest node has %.3f × the mean", shape, over)
		}
	}
}

func TestPartitionNeedsOne(t *testing.T) {
	for _, n := range []int{0, -1} {
		mustPanic(t, "at least one partition", func() { Partition("key", n) })
	}
}

func BenchmarkHash(b *testing.B) {
	for _, length := range []int{16, 64, 512} {
		key := strings.Repeat("k", length)
		b.Run(fmt.Sprintf("bytes=%d", length), func(b *testing.B) {
			for b.Loop() {
				Hash(key)
			}
		})
	}
}
