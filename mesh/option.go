package mesh

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lockmesh/lockmesh/ownership"
)

const (
	maxKeyBytes   = ownership.MaxKeyBytes
	maxNoteBytes  = ownership.MaxNoteBytes
	maxValueBytes = ownership.MaxValueBytes
	defaultTTL    = 15 * time.Second
	minTTL        = 10 * time.Millisecond
	ttlUnset      = time.Duration(math.MinInt64) // TTL was not given
)

// Option is an option of Lock, TryLock, LockAll, Do and Campaign. Of two that say the
// same thing the later one counts: two TTLs, or two modes (Shared, Permits, Update).
// An Option may be used any number of times, by any number of goroutines.
type Option func(*options)

type options struct {
	ttl     time.Duration
	noRenew bool
	note    string
	mode    Mode
	delay   time.Duration
	called  func(*Lock)      // OnContended's
	lease   *Lease           // InLease
	noLease bool             // InLease(nil)
	set     *LockSet         // LockAll
	after   ownership.Handle // LockAll: asked for once this one is held
	wrong   string           // what an option found wrong with its arguments, "" if nothing
}

// TTL is how long the lock outlives its last confirmed renewal: a node that
// crashes or is cut off keeps its locks from others for this long. Renewals go
// out every third of it. Default: 15 seconds, or Params.MaxTTL if that is less.
// A TTL of less than 10 milliseconds, which a forgotten unit makes, or above
// Params.MaxTTL, is ErrInvalid.
func TTL(d time.Duration) Option { return func(o *options) { o.ttl = max(d, ttlUnset+1) } }

// NoRenew lets the lock run out one TTL after it was granted, unless
// [Lock.Renew] is called.
func NoRenew() Option { return func(o *options) { o.noRenew = true } }

// Note is shown to whoever asks who holds the lock, and in the error of those
// who could not have it: valid UTF-8 of at most 256 bytes.
func Note(s string) Option { return func(o *options) { o.note = s } }

// Shared takes the key shared: up to 1,024 such locks hold it at a time, and one
// for update beside them, but no exclusive one. Shared locks do not starve
// exclusive ones: who asks when one of those waits comes after it.
func Shared() Option { return func(o *options) { o.mode = Mode{Kind: ModeShared} } }

// Permits makes the key a semaphore and takes n of its `of` permits: 1 to of, of
// 1 to 1,048,576. Locks that hold the key at a time take no more than of together;
// a big one that waits is not passed by small ones. The size is that of whoever
// holds the key: while it is held another one, or none, is ErrCapacity.
func Permits(n, of int) Option {
	return func(o *options) { o.mode = Mode{ModePermits, n, of} }
}

// Update takes the key for update: shared with readers, exclusive against others
// for update. [Lock.Upgrade] then makes it exclusive when the readers have gone. Of
// two shared locks that both want to be upgraded each would wait for the other, and
// one is refused; with Update there is only ever one, so it is not.
func Update() Option { return func(o *options) { o.mode = Mode{Kind: ModeUpdate} } }

// Delay is a lock-delay: when the lock is lost, not when it is unlocked, the key
// stays closed to others for so much longer; [Node.Release] opens it at once. It is time for a holder that does not
// know yet to come to a stop, or for its writes to arrive, where what they write
// to cannot check tokens (Chubby, section 2.4). 0, the default, to Params.MaxTTL;
// anything else is ErrInvalid. It counts by the owner's clock, anew when the
// key's partition changes its owner.
func Delay(d time.Duration) Option { return func(o *options) { o.delay = d } }

// OnContended has f called when the node hears that somebody waits for the lock:
// a holder that can may then hand it over (the blocking AST of the VMS lock
// manager). f is called in a goroutine of its own, not while it runs already, not
// after the lock has ended, and again when somebody new waits; what it does to the
// lock is up to it. It is told soon, as a rule within milliseconds, and at the latest
// with the next renewal; not at all if the waiter gives up before. nil takes an
// earlier OnContended back.
func OnContended(f func(*Lock)) Option { return func(o *options) { o.called = f } }

// checkKey says what is wrong with a key, "" if nothing is.
func checkKey(key string) string {
	switch {
	case key == "":
		return "the key is empty; a key has 1 to " + strconv.Itoa(maxKeyBytes) + " bytes"
	case len(key) > maxKeyBytes:
		return fmt.Sprintf("the key has %d bytes; a key has 1 to %d: hash a longer one", len(key), maxKeyBytes)
	}
	return ""
}

// resolve checks key and opts and fills in defaults.
func (p Params) resolve(key string, opts []Option) (options, error) {
	o := options{ttl: ttlUnset}
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	o.checkLease()
	if o.ttl == ttlUnset {
		o.ttl = min(defaultTTL, p.MaxTTL)
	}
	for _, wrong := range []string{o.wrong, checkKey(key), o.mode.check()} {
		if wrong != "" {
			return o, invalid(wrong)
		}
	}
	switch {
	case strings.HasPrefix(key, leasePrefix):
		return o, invalid("the key begins with " + quote(leasePrefix) + ", as only those of leases do")
	case p.checkTTL(o.ttl) != "":
		return o, invalid(p.checkTTL(o.ttl))
	case o.delay < 0 || o.delay > p.MaxTTL:
		return o, invalid(fmt.Sprintf("Delay is %v; it may be from 0 to %v (Params.MaxTTL)", o.delay, p.MaxTTL))
	case len(o.note) > maxNoteBytes:
		return o, invalid(fmt.Sprintf("the note has %d bytes; at most %d are kept", len(o.note), maxNoteBytes))
	case !utf8.ValidString(o.note):
		return o, invalid("the note is not valid UTF-8")
	}
	return o, nil
}

// checkTTL says what is wrong with the TTL of a lock or a lease, "" if nothing is.
func (p Params) checkTTL(ttl time.Duration) string {
	switch {
	case ttl < min(minTTL, p.MaxTTL):
		return fmt.Sprintf("TTL is %v; at least %v are needed to renew a lock, and %v is the default: is its unit missing, as in 15*time.Second?",
			ttl, min(minTTL, p.MaxTTL), min(defaultTTL, p.MaxTTL))
	case ttl > p.MaxTTL:
		return fmt.Sprintf("TTL is %v; the mesh's Params.MaxTTL is %v, and no lease may be longer", ttl, p.MaxTTL)
	}
	return ""
}

func quote(s string) string { return strconv.Quote(s) }
