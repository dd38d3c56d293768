package transport

import "github.com/lockmesh/lockmesh/ownership"

// What messages are made of, each as an array of its fields in this order. Add
// fields at the end only; see "Versions" in doc.go.

// Limits of lists that ownership does not limit itself.
const (
	maxRecords = 1 << 16 // of a chunk
	maxWrites  = 1 << 16 // of an Accept
	maxItems   = 1 << 16 // of a message about several partitions
	maxHeld    = 1 << 17 // of an answer to one digest
	maxKeys    = 1 << 16 // of a report
	maxWaiters = 1 << 10 // that a KeyState lists
	maxApart   = 1 << 16
	maxChunks  = 1 << 16
	maxCount   = 1<<31 - 1
	maxDetail  = 1024 // bytes of a text for people
)

func params(c *coder, v *ownership.Params) {
	outer := c.open(5)
	whole(c, &v.Partitions, maxCount)
	whole(c, &v.Replicas, maxCount)
	duration(c, &v.MaxTTL)
	duration(c, &v.MembershipTTL)
	whole(c, &v.DriftPPM, maxCount)
	c.close(outer)
}

func member(c *coder, v *ownership.Member) {
	outer := c.open(5)
	unsigned(c, &v.ID)
	text(c, &v.Name, ownership.MaxNameBytes)
	text(c, &v.Addr, ownership.MaxNameBytes)
	name(c, &v.Zone, ownership.MaxNameBytes)
	boolean(c, &v.Leaving)
	c.close(outer)
}

func nodes(c *coder, v *[]ownership.NodeID, most int) {
	list(c, v, most, unsigned[ownership.NodeID])
}

func configuration(c *coder, v *ownership.Configuration) {
	outer := c.open(2)
	unsigned(c, &v.Term)
	nodes(c, &v.Replicas, ownership.MaxReplicas)
	c.close(outer)
}

func group(c *coder, v *ownership.Group) {
	outer := c.open(3)
	unsigned(c, &v.Term)
	nodes(c, &v.Replicas, ownership.MaxReplicas)
	list(c, &v.Prior, ownership.MaxPrior, configuration)
	c.close(outer)
}

func apart(c *coder, v *ownership.Apart) {
	outer := c.open(3)
	unsigned(c, &v.Partition)
	unsigned(c, &v.Owner)
	unsigned(c, &v.Silent)
	c.close(outer)
}

func view(c *coder, v *ownership.View) {
	outer := c.open(7)
	unsigned(c, &v.Mesh)
	unsigned(c, &v.Epoch)
	params(c, &v.Params)
	list(c, &v.Members, ownership.MaxMembers, member)
	nodes(c, &v.Voters, ownership.MaxVoters)
	list(c, &v.Groups, ownership.MaxPartitions, group)
	list(c, &v.Apart, maxApart, apart)
	c.close(outer)
	if !c.writing && c.err == nil {
		c.keep(v.Validate())
	}
}

// someView is a view that must be there.
func someView(c *coder, v **ownership.View) {
	pointer(c, v, view)
	if c.err == nil && *v == nil {
		c.fail("no view")
	}
}

func ballot(c *coder, v *ownership.Ballot) {
	outer := c.open(2)
	unsigned(c, &v.Round)
	unsigned(c, &v.Node)
	c.close(outer)
}

func requestID(c *coder, v *ownership.RequestID) {
	outer := c.open(2)
	unsigned(c, &v.Client)
	unsigned(c, &v.Seq)
	c.close(outer)
}

func ticket(c *coder, v *ownership.Ticket) {
	outer := c.open(2)
	unsigned(c, &v.Term)
	unsigned(c, &v.Number)
	c.close(outer)
}

// key is 1 to MaxKeyBytes bytes (K5).
func key(c *coder, v *string) {
	someKey(c, v)
	if c.err == nil && *v == "" {
		c.fail("no key")
	}
}

// someKey is a key, or none.
func someKey(c *coder, v *string) { str(c, v, ownership.MaxKeyBytes, &c.lastKey) }

// mode is one with which an owner can reckon: it takes something, and no more than
// there is. Whether it may be asked for is K5's.
func mode(c *coder, v *ownership.Mode) {
	outer := c.open(2)
	unsigned(c, &v.Weight)
	unsigned(c, &v.Of)
	c.close(outer)
	if c.err == nil && *v != ownership.Exclusive && (v.Weight < 1 || v.Weight > v.Of || v.Of > ownership.Whole) {
		c.fail("a mode of %d of %d", v.Weight, v.Of)
	}
}

func value(c *coder, v *ownership.Value) {
	outer := c.open(3)
	data(c, &v.Data, ownership.MaxValueBytes)
	unsigned(c, &v.Token)
	boolean(c, &v.Stale)
	c.close(outer)
}

func holder(c *coder, v *ownership.Holder) {
	outer := c.open(11)
	requestID(c, &v.Request)
	unsigned(c, &v.Token)
	unsigned(c, &v.Lease)
	duration(c, &v.TTL)
	name(c, &v.Name, ownership.MaxNameBytes)
	text(c, &v.Note, ownership.MaxNoteBytes)
	optional(c, &v.Mode, mode)
	duration(c, &v.Delay)
	boolean(c, &v.Lost)
	unsigned(c, &v.Altered)
	signed(c, &v.Since)
	c.close(outer)
}

func record(c *coder, v *ownership.Record) {
	outer := c.open(3)
	key(c, &v.Key)
	list(c, &v.Holders, ownership.MaxHolders, holder)
	pointer(c, &v.Value, value)
	c.close(outer)
}

func records(c *coder, v *[]*ownership.Record) {
	list(c, v, maxRecords, func(c *coder, r **ownership.Record) {
		pointer(c, r, record)
		if c.err == nil && *r == nil {
			c.fail("no record")
		}
	})
}

func write(c *coder, v *ownership.Write) {
	outer := c.open(2)
	key(c, &v.Key)
	pointer(c, &v.Record, record)
	c.close(outer)
	if c.err == nil && v.Record != nil && v.Record.Key != v.Key {
		c.fail("a write of one key with the record of another")
	}
}

// chunk is one of chunks, 0 … chunks-1; 0 of none is allowed.
func chunk(c *coder, number, chunks *int) {
	whole(c, number, maxChunks)
	whole(c, chunks, maxChunks)
	if c.err == nil && *number > 0 && *number >= *chunks {
		c.fail("chunk %d of %d", *number, *chunks)
	}
}

func reason(c *coder, v *ownership.Reason) {
	outer := c.open(5)
	unsigned(c, &v.Code)
	elapsed(c, &v.Left)
	whole(c, &v.Ahead, maxCount)
	optional(c, &v.Holder, holder)
	whole(c, &v.Others, maxCount)
	c.close(outer)
}

func confirmItem(c *coder, v *ownership.ConfirmItem) {
	outer := c.open(3)
	unsigned(c, &v.Partition)
	unsigned(c, &v.Term)
	unsigned(c, &v.Round)
	c.close(outer)
}

func settledItem(c *coder, v *ownership.SettledItem) {
	outer := c.open(2)
	unsigned(c, &v.Partition)
	unsigned(c, &v.Term)
	c.close(outer)
}

func heartbeatItem(c *coder, v *ownership.HeartbeatItem) {
	outer := c.open(7)
	unsigned(c, &v.Partition)
	unsigned(c, &v.Term)
	unsigned(c, &v.Lease)
	duration(c, &v.TTL)
	unsigned(c, &v.Beat)
	whole(c, &v.Count, maxCount)
	unsigned(c, &v.Xor)
	c.close(outer)
}

func heartbeatAckItem(c *coder, v *ownership.HeartbeatAckItem) {
	outer := c.open(8)
	unsigned(c, &v.Partition)
	unsigned(c, &v.Term)
	unsigned(c, &v.Lease)
	unsigned(c, &v.Beat)
	signed(c, &v.Echo)
	boolean(c, &v.Match)
	list(c, &v.Held, maxHeld, unsigned)
	list(c, &v.Contended, maxHeld, unsigned)
	c.close(outer)
}

func keyState(c *coder, v *ownership.KeyState) {
	outer := c.open(5)
	key(c, &v.Key)
	list(c, &v.Holders, ownership.MaxHolders, holderState)
	list(c, &v.Queue, maxWaiters, waiterState)
	whole(c, &v.Waiting, maxCount)
	pointer(c, &v.Value, value)
	c.close(outer)
}

// holderState has its Holder as one field, an array of its own: so either may grow
// at its end.
func holderState(c *coder, v *ownership.HolderState) {
	outer := c.open(3)
	holder(c, &v.Holder)
	duration(c, &v.Left)
	boolean(c, &v.Evicted)
	c.close(outer)
}

func waiterState(c *coder, v *ownership.WaiterState) {
	outer := c.open(6)
	unsigned(c, &v.Client)
	name(c, &v.Name, ownership.MaxNameBytes)
	text(c, &v.Note, ownership.MaxNoteBytes)
	optional(c, &v.Mode, mode)
	boolean(c, &v.Upgrades)
	elapsed(c, &v.Waited)
	c.close(outer)
}

func noticeItem(c *coder, v *ownership.NoticeItem) {
	outer := c.open(5)
	unsigned(c, &v.Partition)
	unsigned(c, &v.Term)
	unsigned(c, &v.Seq)
	boolean(c, &v.Evicted)
	text(c, &v.By, ownership.MaxNameBytes)
	c.close(outer)
}
