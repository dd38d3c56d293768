// Package mesh is an embedded, exact, distributed lock service: every process of
// a fleet calls [Join], and from then on [Node.Lock] on any of them locks a key
// for all of them. There is no server to run and no disk.
//
// # What is guaranteed
//
//   - Of a key there is one holder in the replicated state at any time, whatever
//     crashes, restarts, is cut off or delayed. This rests on quorums alone.
//   - Fencing tokens ([Lock.Token]) of a key strictly rise in the order of its
//     grants, across every change of the fleet, refounding included. A resource
//     that refuses a token below the highest it has seen is protected without
//     any clock.
//   - No two holders believe in one lock at the same time: the one before has
//     seen Done closed when the next is granted. This rests on the rates of the
//     clocks being right within Params.ClockDrift; no clock is ever compared
//     with another.
//   - The loss of a lock is signalled at its deadline by the holder's own clock,
//     network or not, and on Linux that clock counts suspended time.
//   - Every answer is linearizable, "busy" too, and so are [Node.Value] and
//     [Node.Inspect]. Waiters are served first come, first served, over all nodes:
//     readers that come later do not pass a writer that waits.
//   - The value of a key is written by the lock that holds all of it and by nobody
//     else, and carries that lock's token.
//   - A grant that was answered is not forgotten before it is released or has
//     run out, as long as fewer than a majority of the replicas of its partition
//     die at once. If more do, its keys wait until every lease that may be held
//     has run out (MembershipTTL + MaxTTL), and go on.
//
// # What is not
//
//   - A holder that is stopped for longer than its TTL (a suspended machine, a
//     long pause) and does not look at Done, Err or State before it acts can act
//     without the lock. Where that matters, send the token along and have the
//     resource check it: no lock service can do that for you.
//   - Of a split, only the side with a majority of the voters goes on. A fleet
//     that loses a majority of its voters at once stops and says so.
//   - Nothing is kept on disk: when all nodes are down, all locks are gone. A
//     mesh that is founded anew therefore waits before it grants: see
//     [Config.Fresh].
//   - A virtual machine that is cloned or restored from a snapshot can be two
//     nodes with one identity. That is not covered.
//   - Without TLS a peer is believed when it says who it is: the port belongs
//     in a network whose hosts are trusted.
//   - A lock is not reentrant, and belongs to the process, not to a goroutine.
//   - A value is no storage: it is in memory alone, and where more replicas of a
//     partition die at once than it can bear it may be an older one, or none. Then
//     it says so: see Stale of [Value].
//   - A write whose confirmation did not come before ctx or the lock ended may have
//     happened or not, and the error says so.
//   - [OnContended], [Node.Watch] and [Node.Explain] are told soon, and after a change
//     of the fleet somewhat later: nothing exact rests on them.
//   - So are times that are shown to people: since when a lock is held is by the wall
//     clock of the key's owner.
//
// # Modes
//
// All locks of a key are of one kind underneath: each takes a part of the key's
// capacity, and those that are held together never take more than all of it.
//
//	mode              option           is held beside
//	exclusive         (none)           nothing
//	shared            Shared()         shared, one update
//	update            Update()         shared
//	n of m permits    Permits(n, m)    as many others as there are permits
//
// The line is served from its head as far as it fits, in one step; a head that does
// not fit holds back those behind it, TryLock too. A semaphore's size is that of
// those who hold it, and another one is [ErrCapacity] until it is free.
//
// [Lock.Downgrade] makes an exclusive lock, or one for update, shared at once.
// [Lock.Upgrade] makes a shared lock, or one for update, exclusive: it goes before
// the line, lets nobody in, waits until the other holders have gone, and raises the
// token. Two shared locks that both waited for that would wait for each other for
// ever, so the second is refused with [ErrLocked]. Where a read may become a write
// take the lock with [Update]: there is one of those at a time, and it is never
// refused.
//
// # Values
//
// A key has room for one value of 4 KiB beside its holders: who leads, how far a
// job came, where the data is. [Lock.SetValue] and [Lock.DeleteValue] are for who
// holds all of the key, [Node.Value] is for anybody. It stays when the lock is
// released or lost, and its token tells under which grant it was written.
//
// # Leases
//
// [Node.Lease] is a session: locks that are taken with [InLease] are renewed with it,
// and end with it, by [Lease.Revoke] or when it or one of them is lost. One heir of a
// crashed worker then finds all its keys free, or none.
//
// The word has three meanings here. A [Lease] is such a session; the lease of a lock is
// its TTL, for which it is held without a word from its holder; the membership lease of
// a node is the voters' leave to serve, without which it grants nothing.
//
// # Several keys
//
// [Node.LockAll] takes all of some keys or none. It asks for them in the order of their
// bytes, each when it has the one before, so calls with overlapping sets neither wait
// for each other in a circle nor starve (K11). That holds within one call: who holds a
// lock already and asks for more may wait for ever, and ends that with ctx.
//
// # Elections
//
// [Node.Election] is an exclusive lock and its value. Who has it leads, once it has
// proclaimed a value; the candidates wait in line, and [Election.Observe] tells everybody
// else. The token of a [Term] is the fencing token, and its Done closes before another
// can lead. [Term.Transfer] hands over to a candidate by name.
//
// # Contention
//
// Who holds a lock for long may let it go when others want it: [OnContended] is called
// when somebody waits, and may unlock, downgrade or do nothing. It is a hint, soon and
// not exact. [Delay] is the opposite: it keeps a key closed for a while after its holder
// was lost.
//
// # Fencing
//
// A holder that is paused beyond its deadline may act before it looks. What it writes to
// compares tokens and refuses a lower one than it has seen: [Fence] does that in memory,
// and its comment shows it in SQL and over HTTP.
//
// # Looking
//
// [Node.Inspect] and [Node.Watch] tell of one key who holds it, who waits, its value
// and where it lives; [Node.Locks] lists what is held anywhere; [Node.Explain] says in
// a sentence why a request would wait. [Node.Release] takes a lock from its holder,
// by its token.
//
// # One Lock call
//
//  1. The key's hash gives its partition, the view the partition's owner: one
//     of the nodes, perhaps this one. It is asked.
//  2. The owner puts the caller in line, or grants: it writes the new holder
//     with the next token into its state and sends the write to the partition's
//     other replicas.
//  3. When a majority of them has it, the owner answers.
//  4. The caller's deadline is the moment it asked, plus TTL, less the drift
//     that is allowed for. The owner waits longer before it gives the key away.
//  5. Every third of the TTL the node renews all its locks with one message for
//     each owner.
//
// Packages ownership (the protocol, its specification and invariants), ring (who
// owns what) and transport (messages) are below this one.
package mesh
