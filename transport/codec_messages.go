package transport

import "github.com/lockmesh/lockmesh/ownership"

// bodies says how the body of each kind of message travels. TestEveryKind holds
// it complete.
var bodies = [...]body{
	ownership.KindContact: fields(func(c *coder, m *ownership.Contact) {
		outer := c.open(4)
		member(c, &m.Member)
		params(c, &m.Params)
		whole(c, &m.Founders, maxCount)
		boolean(c, &m.Fresh)
		c.close(outer)
	}),
	ownership.KindFound: fields(func(c *coder, m *ownership.Found) {
		outer := c.open(1)
		someView(c, &m.View)
		c.close(outer)
	}),
	ownership.KindFoundAck: fields(func(c *coder, m *ownership.FoundAck) {
		outer := c.open(2)
		unsigned(c, &m.Mesh)
		unsigned(c, &m.Epoch)
		c.close(outer)
	}),
	ownership.KindJoin: fields(func(c *coder, m *ownership.Join) {
		outer := c.open(3)
		member(c, &m.Member)
		params(c, &m.Params)
		unsigned(c, &m.Epoch)
		c.close(outer)
	}),
	ownership.KindRefused: fields(func(c *coder, m *ownership.Refused) {
		outer := c.open(2)
		unsigned(c, &m.Code)
		text(c, &m.Detail, maxDetail)
		c.close(outer)
	}),
	ownership.KindPrepare: fields(func(c *coder, m *ownership.Prepare) {
		outer := c.open(2)
		unsigned(c, &m.Epoch)
		ballot(c, &m.Ballot)
		c.close(outer)
	}),
	ownership.KindPromise: fields(func(c *coder, m *ownership.Promise) {
		outer := c.open(5)
		unsigned(c, &m.Epoch)
		ballot(c, &m.Ballot)
		ballot(c, &m.Promised)
		ballot(c, &m.Accepted)
		pointer(c, &m.Value, view)
		c.close(outer)
	}),
	ownership.KindPropose: fields(func(c *coder, m *ownership.Propose) {
		outer := c.open(3)
		unsigned(c, &m.Epoch)
		ballot(c, &m.Ballot)
		someView(c, &m.Value)
		c.close(outer)
	}),
	ownership.KindAccepted: fields(func(c *coder, m *ownership.Accepted) {
		outer := c.open(3)
		unsigned(c, &m.Epoch)
		ballot(c, &m.Ballot)
		ballot(c, &m.Promised)
		c.close(outer)
	}),
	ownership.KindDecided: fields(func(c *coder, m *ownership.Decided) {
		outer := c.open(2)
		someView(c, &m.View)
		boolean(c, &m.WantAck)
		c.close(outer)
	}),
	ownership.KindDecidedAck: fields(func(c *coder, m *ownership.DecidedAck) {
		outer := c.open(1)
		unsigned(c, &m.Epoch)
		c.close(outer)
	}),
	ownership.KindAskView: fields(func(c *coder, m *ownership.AskView) {
		outer := c.open(1)
		unsigned(c, &m.Epoch)
		c.close(outer)
	}),
	ownership.KindRenew: fields(func(c *coder, m *ownership.Renew) {
		outer := c.open(4)
		unsigned(c, &m.Epoch)
		signed(c, &m.Sent)
		boolean(c, &m.Leaving)
		duration(c, &m.Without)
		c.close(outer)
	}),
	ownership.KindRenewAck: fields(func(c *coder, m *ownership.RenewAck) {
		outer := c.open(3)
		unsigned(c, &m.Epoch)
		signed(c, &m.Sent)
		boolean(c, &m.Stop)
		c.close(outer)
	}),
	ownership.KindAccept: fields(func(c *coder, m *ownership.Accept) {
		outer := c.open(4)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		unsigned(c, &m.First)
		list(c, &m.Writes, maxWrites, write)
		c.close(outer)
	}),
	ownership.KindAcceptAck: fields(func(c *coder, m *ownership.AcceptAck) {
		outer := c.open(6)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		boolean(c, &m.OK)
		unsigned(c, &m.Promised)
		unsigned(c, &m.Installed)
		unsigned(c, &m.Last)
		c.close(outer)
	}),
	ownership.KindConfirm: fields(func(c *coder, m *ownership.Confirm) {
		outer := c.open(1)
		list(c, &m.Items, maxItems, confirmItem)
		c.close(outer)
	}),
	ownership.KindConfirmAck: fields(func(c *coder, m *ownership.ConfirmAck) {
		outer := c.open(1)
		list(c, &m.Items, maxItems, confirmItem)
		c.close(outer)
	}),
	ownership.KindSeal: fields(func(c *coder, m *ownership.Seal) {
		outer := c.open(4)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		unsigned(c, &m.Installed)
		unsigned(c, &m.Last)
		c.close(outer)
	}),
	ownership.KindSealAck: fields(func(c *coder, m *ownership.SealAck) {
		outer := c.open(11)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		boolean(c, &m.OK)
		unsigned(c, &m.Promised)
		unsigned(c, &m.Installed)
		unsigned(c, &m.Last)
		boolean(c, &m.Served)
		boolean(c, &m.Waiting)
		chunk(c, &m.Chunk, &m.Chunks)
		records(c, &m.Records)
		c.close(outer)
	}),
	ownership.KindInstall: fields(func(c *coder, m *ownership.Install) {
		outer := c.open(6)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		unsigned(c, &m.Number)
		chunk(c, &m.Chunk, &m.Chunks)
		records(c, &m.Records)
		c.close(outer)
	}),
	ownership.KindSettled: fields(func(c *coder, m *ownership.Settled) {
		outer := c.open(1)
		list(c, &m.Items, maxItems, settledItem)
		c.close(outer)
	}),
	ownership.KindSettledAck: fields(func(c *coder, m *ownership.SettledAck) {
		outer := c.open(1)
		list(c, &m.Items, maxItems, settledItem)
		c.close(outer)
	}),
	ownership.KindStuck: fields(func(c *coder, m *ownership.Stuck) {
		outer := c.open(4)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		nodes(c, &m.Heard, ownership.MaxMembers)
		boolean(c, &m.Exhausted)
		c.close(outer)
	}),
	ownership.KindAcquire: fields(func(c *coder, m *ownership.Acquire) {
		outer := c.open(14)
		requestID(c, &m.Request)
		unsigned(c, &m.Low)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		key(c, &m.Key)
		boolean(c, &m.Try)
		unsigned(c, &m.Lease)
		duration(c, &m.TTL)
		signed(c, &m.Sent)
		optional(c, &m.Ticket, ticket)
		name(c, &m.Name, ownership.MaxNameBytes)
		text(c, &m.Note, ownership.MaxNoteBytes)
		optional(c, &m.Mode, mode)
		duration(c, &m.Delay)
		c.close(outer)
	}),
	ownership.KindRelease: fields(func(c *coder, m *ownership.Release) {
		outer := c.open(6)
		requestID(c, &m.Request)
		unsigned(c, &m.Low)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		text(c, &m.Heir, ownership.MaxNameBytes)
		boolean(c, &m.Lost)
		c.close(outer)
	}),
	ownership.KindAnswer: fields(func(c *coder, m *ownership.Answer) {
		outer := c.open(11)
		requestID(c, &m.Request)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		boolean(c, &m.Release)
		unsigned(c, &m.Outcome)
		unsigned(c, &m.Token)
		signed(c, &m.Echo)
		optional(c, &m.Ticket, ticket)
		optional(c, &m.Holder, holder)
		optional(c, &m.Reason, reason)
		unsigned(c, &m.Alters)
		c.close(outer)
	}),
	ownership.KindHeartbeat: fields(func(c *coder, m *ownership.Heartbeat) {
		outer := c.open(3)
		unsigned(c, &m.Client)
		signed(c, &m.Sent)
		list(c, &m.Items, maxItems, heartbeatItem)
		c.close(outer)
	}),
	ownership.KindHeartbeatAck: fields(func(c *coder, m *ownership.HeartbeatAck) {
		outer := c.open(2)
		unsigned(c, &m.Client)
		list(c, &m.Items, maxItems, heartbeatAckItem)
		c.close(outer)
	}),
	ownership.KindAlter: fields(func(c *coder, m *ownership.Alter) {
		outer := c.open(8)
		requestID(c, &m.Request)
		unsigned(c, &m.Low)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		unsigned(c, &m.Number)
		unsigned(c, &m.What)
		optional(c, &m.Mode, mode)
		data(c, &m.Value, ownership.MaxValueBytes)
		c.close(outer)
	}),
	ownership.KindQuery: fields(func(c *coder, m *ownership.Query) {
		outer := c.open(8)
		unsigned(c, &m.Client)
		unsigned(c, &m.ID)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		someKey(c, &m.Key)
		boolean(c, &m.Page)
		boolean(c, &m.Watch)
		unsigned(c, &m.Seen)
		c.close(outer)
		if m.Key == "" && !m.Page { // a page may begin before all keys
			c.fail("no key")
		}
	}),
	ownership.KindReport: fields(func(c *coder, m *ownership.Report) {
		outer := c.open(9)
		unsigned(c, &m.Client)
		unsigned(c, &m.ID)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		unsigned(c, &m.Outcome)
		unsigned(c, &m.Number)
		list(c, &m.Keys, maxKeys, keyState)
		boolean(c, &m.More)
		optional(c, &m.Reason, reason)
		c.close(outer)
	}),
	ownership.KindRevoke: fields(func(c *coder, m *ownership.Revoke) {
		outer := c.open(7)
		requestID(c, &m.Request)
		unsigned(c, &m.Low)
		unsigned(c, &m.Partition)
		unsigned(c, &m.Term)
		key(c, &m.Key)
		unsigned(c, &m.Token)
		name(c, &m.Name, ownership.MaxNameBytes)
		c.close(outer)
	}),
	ownership.KindNotice: fields(func(c *coder, m *ownership.Notice) {
		outer := c.open(2)
		unsigned(c, &m.Client)
		list(c, &m.Items, maxItems, noticeItem)
		c.close(outer)
	}),
}

// body writes and reads one kind of message.
type body struct {
	write func(*coder, ownership.Message)
	read  func(*coder) ownership.Message
}

// fields makes a body from the walk over a message's fields.
func fields[T ownership.Message](walk func(*coder, *T)) body {
	return body{
		write: func(c *coder, m ownership.Message) {
			v, ok := m.(T)
			if !ok {
				c.fail("%T cannot be sent: it must be a %T", m, v)
				return
			}
			// The walk wants a pointer; the coder keeps one for each kind, so that
			// none is allocated.
			p := scratch[T](c, m.Kind())
			*p = v
			walk(c, p)
			*p = *new(T)
		},
		read: func(c *coder) ownership.Message {
			var zero T
			p := scratch[T](c, zero.Kind()) // all zero: both directions leave it so
			walk(c, p)
			m := ownership.Message(*p)
			*p = zero
			return m
		},
	}
}

// scratch is the coder's own message of a type.
func scratch[T any](c *coder, k ownership.Kind) *T {
	p, ok := c.scratch[k].(*T)
	if !ok {
		p = new(T)
		c.scratch[k] = p
	}
	return p
}

// bodyOf returns the body of a kind, nil for one that this node does not know.
func bodyOf(k ownership.Kind) *body {
	if int(k) >= len(bodies) || bodies[k].write == nil {
		return nil
	}
	return &bodies[k]
}
