package ownership

import (
	"cmp"
	"fmt"
	"slices"
)

// look is a question of this client to an owner (K12).
type look struct {
	in        Look
	partition Partition
	term      Term   // the newest asked; 0: none yet
	owner     NodeID // of term
	next      Time   // when to ask again
	heard     Time   // the last answer, or the first question
	seen      uint64 // of a watch: the newest received in this term
	reason    Reason
}

// clientLook: K5: bad input changes nothing.
func (c *Core) clientLook(in Look) {
	cl := &c.client
	i, found := cl.lookAt(in.Handle)
	why := ""
	switch {
	case found:
		why = "the handle is in use"
	case len(in.Key) > MaxKeyBytes:
		why = fmt.Sprintf("the key has %d bytes; at most %d", len(in.Key), MaxKeyBytes)
	case len(in.Key) == 0 && !in.Page:
		why = "the key is empty"
	case in.Page && in.Watch:
		why = "a page of keys cannot be watched"
	case in.Page && int(in.Partition) >= c.cfg.Params.Partitions:
		why = fmt.Sprintf("partition %d of %d", in.Partition, c.cfg.Params.Partitions)
	}
	if why != "" {
		c.notify(Invalid{in.Handle, why})
		return
	}
	k := &look{in: in, heard: c.now, reason: Reason{Code: ReasonNoView}}
	cl.looks = slices.Insert(cl.looks, i, k)
	c.sendLook(k)
}

func (cl *client) lookAt(h Handle) (int, bool) {
	return slices.BinarySearchFunc(cl.looks, h, func(k *look, h Handle) int { return cmp.Compare(k.in.Handle, h) })
}

func (c *Core) clientUnlook(h Handle) {
	cl := &c.client
	if i, found := cl.lookAt(h); found {
		cl.looks = slices.Delete(cl.looks, i, i+1)
	}
}

// at is the partition that is asked.
func (k *look) at(c *Core) Partition {
	if k.in.Page {
		return k.in.Partition
	}
	return c.partition(k.in.Key)
}

// sendLook asks the owner of now, or asks again.
func (c *Core) sendLook(k *look) {
	if c.silent() || c.view == nil {
		k.next = c.now.add(c.cfg.Params.resendEvery())
		c.wakeAt(k.next)
		return
	}
	k.partition = k.at(c)
	g := c.view.Groups[k.partition]
	if g.Term != k.term {
		k.seen = 0
	}
	k.term, k.owner = g.Term, g.Owner()
	k.next = c.now.add(askEvery(c.cfg.Params.MaxTTL))
	if k.seen != 0 {
		k.next = c.now.add(watchTell)
	}
	c.wakeAt(k.next)
	c.send(k.owner, Query{c.client.id, uint64(k.in.Handle), k.partition, k.term, k.in.Key, k.in.Page, k.in.Watch, k.seen})
}

// onReport: K12.
func (c *Core) onReport(from NodeID, m Report) {
	cl := &c.client
	if m.Client != cl.id || c.silent() {
		return
	}
	i, found := cl.lookAt(Handle(m.ID))
	if !found {
		return
	}
	k := cl.looks[i]
	if m.Term != k.term || m.Partition != k.partition || m.Outcome == OutcomeGranted && !k.in.Page && len(m.Keys) != 1 {
		return
	}
	k.heard = c.now
	switch m.Outcome {
	case OutcomeMoved:
		k.next = earlier(k.next, c.now.add(c.cfg.Params.resendEvery()))
		c.wakeAt(k.next)
		if c.view != nil {
			c.send(from, AskView{c.view.Epoch})
		}
	case OutcomeWaiting:
		if m.Reason.Code != ReasonFull {
			k.next = earlier(k.next, c.now.add(c.cfg.Params.resendEvery()))
			c.wakeAt(k.next)
		}
		c.whyLook(k, m.Reason)
	case OutcomeInvalid:
		c.clientUnlook(k.in.Handle)
		c.notify(Invalid{k.in.Handle, "the owner refused it: are all nodes of one version?"})
	case OutcomeGranted:
		if k.in.Watch {
			if m.Number <= k.seen {
				return // late: a newer one has come
			}
			k.seen = m.Number
			k.reason = Reason{}
		} else {
			c.clientUnlook(k.in.Handle)
		}
		c.notify(Looked{Handle: k.in.Handle, Owner: from, Term: m.Term, Keys: m.Keys, More: m.More})
	}
}

// whyLook tells the runtime when the reason for having no answer changes.
func (c *Core) whyLook(k *look, r Reason) {
	if k.reason.Code != r.Code {
		c.notify(Pending{Handle: k.in.Handle, Owner: k.owner, Reason: r})
	}
	k.reason = r
}

// tickLooks asks again.
func (c *Core) tickLooks() {
	for _, k := range c.client.looks {
		if k.term != 0 && k.seen == 0 && c.now.since(k.heard) >= directFresh {
			c.whyLook(k, Reason{Code: ReasonNoAnswer})
		}
		if c.now >= k.next-Time(askEvery(c.cfg.Params.MaxTTL)/8) { // those nearly due go along
			c.sendLook(k)
		}
		c.wakeAt(k.next)
	}
}
