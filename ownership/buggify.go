package ownership

// Site is a place where the protocol leaves a choice, or where the world may
// take something away, so rarely in ordinary runs that a test would wait for long.
// A simulator turns sites on and off (Config.Buggify); the core only asks, and has
// no random source of its own. After FoundationDB's BUGGIFY (Zhou et al. 2021, §4).
type Site uint8

// The sites.
const (
	// SmallestQuorum: writes and first states leave to W replicas only; the others
	// get them when they are sent again.
	SmallestQuorum Site = iota
	// AnswerLost: a certified answer does not leave: carried out, and nobody knows.
	AnswerLost
	// LateBatch: writes and rounds wait as long as a batch ever may.
	LateBatch
	// TinyChunks: states travel with one record to a chunk.
	TinyChunks
	// TinyBuffer: the owner keeps a single write, so that whoever misses more is
	// sent a snapshot.
	TinyBuffer
	// Sites is their number.
	Sites
)

func (s Site) String() string {
	return [Sites]string{"smallest-quorum", "answer-lost", "late-batch", "tiny-chunks", "tiny-buffer"}[s]
}

// buggify asks the simulator; in production nobody is there to say yes.
func (c *Core) buggify(s Site) bool { return c.cfg.Buggify != nil && c.cfg.Buggify(s) }

// firstTo is how many replicas a write goes to at first: all of them.
func (c *Core) firstTo(o *owner) int {
	if c.buggify(SmallestQuorum) {
		return writeQuorum(len(o.replicas))
	}
	return len(o.replicas)
}

// chunkSize is chunkBytes, bufferSize bufferMax.
func (c *Core) chunkSize() int {
	if c.buggify(TinyChunks) {
		return 1
	}
	return chunkBytes
}

func (c *Core) bufferSize() uint64 {
	if c.buggify(TinyBuffer) {
		return 1
	}
	return bufferMax
}
