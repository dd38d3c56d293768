// Package linear checks that what clients were told about one key is
// linearizable: that one order of all operations exists, each at some moment
// between its invocation and its answer in true time, in which a lock on one
// machine would have given the same answers. The search is porcupine's, the lock
// is described below. It shares no code with the protocol, and so no error. Keys
// do not depend on each other: each has a [History] and a [Check] of its own.
//
// # The lock
//
// A key is free or held by one call; its tokens rise.
//
//	grant (token)   the key is free, and every lower token was granted before
//	busy            another call holds the key
//	release         this call holds the key; then it is free
//	confirm         this call holds the key
//	absent          this call was granted the key and holds it no more
//	(end)           a lease ran out, or was given back unseen: not before a moment
//	                that the history knows for each call
//	(silent hold)   a call that was not told of its grant held the key
//
// # From the events of package ownership to operations
//
//	Granted             grant, between Lock and the event.
//	Busy                busy, between Lock and the event.
//	Invalid             nothing (Refused): it was refused for its form.
//	Extended            confirm (Renewed), between the moment at which the heartbeat
//	                    left, which the new deadline tells, and the event; Asked
//	                    or not. The lease now lasts until that moment + TTL.
//	Lost{Missing}       absent (Missing): the owner has certified it. The heartbeat
//	                    left after the grant was adopted. (K3 lets the deadline come
//	                    first, so in one mesh this is always an error.)
//	Lost{Expired},      certifies nothing (Lost): the client's own clock, or another
//	Lost{OtherMesh}     mesh, said so. At the owner the lease still runs, and from
//	                    the event on the client may give it back when the owner
//	                    lists it (K4). So its end may come from then on.
//	Released{Held}      release, between Unlock and the event.
//	Released, not Held  of a lock that was granted: absent (NotHeld). After a Lost
//	                    it rests on nothing and is left out. Of a call that waited:
//	                    it was cancelled, and may have held the key silently until
//	                    the event, not later (K1: a release closes the request).
//	Released{GaveUp}    certifies nothing: the end may come at any time after Unlock.
//	no answer           crash, end of the run: a granted lock may end when its lease
//	                    may; an Unlock counts like GaveUp; a Lock may hold silently
//	                    from its call on, and for ever.
//	Pending             nothing: it rests on nothing.
//	Denied{Capacity}    Capacity, between Lock and the event.
//	Denied{Lease, Set}  the client's own doing (K10, K11). Refused if nothing was
//	                    sent for it; else the Lock stays Open and is followed by an
//	                    Unlock, Open, at the event: it may have held silently.
//	Lost{Evicted, …}    Lost, of whatever cause but Missing.
//	Altered             Done, with the new token of an Upgrade; OutcomeBusy is
//	                    Conflict, OutcomeNotHeld NotHeld. Between Change and the
//	                    event. A Change whose lock ended before stays Open.
//	Unchange            the Change that it gives up: GaveUp, then.
//	Looked              Done: a Read of the value, or an Inspect with all holders.
//	                    Between Look and the event; of a watch each one, too.
//	Evicted             Done or NotHeld. An Evict that was given up: GaveUp.
//	Activated with Lost History.Lost, at that moment.
//
// # Ends
//
// An owner expires a lease TTL·(1+d) of its own clock after it heard of it. Its
// clock is too fast by d at most, so in true time not before TTL has passed since
// the client sent the message that was answered: [Op].MayExpire. That it ends
// then is not demanded, since an owner may have heard a later renewal whose answer
// was lost, or have taken over (T4). A silent grant is over at the earliest when
// a client can find a grant too late: [Op].Late. A call whose answer took longer
// may have held silently before it, and was asked for again; so may one whose first
// grant an operator wanted back before it came (K13), when somebody asked to evict a
// token that nobody was told.
//
// A change that was given up is taken back by going to where its client counts as
// being (K8). That is where the last Downgrade led that it asked for, given up or not.
//
// # Why it is not too strict
//
// All of these happen in the order of the owner's table, each evaluated between
// the invocation and the answer; certified answers rest on writes that are
// committed (G2), so the table that a later owner finds has them. An Unlock that
// was sent twice and reports Held may have come after the expiry: then the expiry
// was between Unlock and answer, and stands for the release. Answers at one
// moment of true time may be put in either order.
//
// # Why it is not needlessly lax
//
// Ends and silent holds are not operations that may or may not happen, of which
// there would be 2ⁿ, but conditions on the time of the others. An end matters
// only to the next grant and to an absent; so it is taken to be just before
// these, and the state knows what time it is at least. A silent hold matters only
// to a busy that finds the key free, and there it is decided whether a silent
// holder can have been there at that moment; the next grant waits until such a
// hold can be over. Of several silent holders the most convenient traits are
// combined (the earliest start, the earliest end), and each may hold more than
// once; that alone is laxer than the truth. (TestAgainstNaive compares the verdicts
// with those of a model without any of this.)
//
// Found are thus: two holders, a token out of order or given twice, a busy while
// the key was free, a renewal or a released lock that another grant had overtaken,
// a lock forgotten before its lease can be over, and a grant to a call that was
// cancelled.
//
// # Cost
//
// The order of the grants is that of their tokens, so the model takes none but
// the next. Busy and confirm that certainly hold, since a holder that was told
// and had no end yet overlaps them, can be put there in every order, and are left
// out. What remains is a chain with few branches: some milliseconds for some
// hundred calls. A search that outlasts its time is Unknown.
package linear
