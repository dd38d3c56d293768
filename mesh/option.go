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
	maxKeyBytes  = ownership.MaxKeyBytes
	maxNoteBytes = ownership.MaxNoteBytes
	defaultTTL   = 15 * time.Second
	ttlUnset     = time.Duration(math.MinInt64) // TTL was not given
)

// Option is an option of Lock, TryLock and Do. Of two that say the same thing
// the later one counts. An Option may be used any number of times, by any
// number of goroutines.
type Option func(*options)

type options struct {
	ttl     time.Duration
	noRenew bool
	note    string
	mode    ownership.Mode
	delay   time.Duration
	called  func(*Lock)      // OnContended's
	lease   *Lease           // InLease
	set     *LockSet         // LockAll
	after   ownership.Handle // LockAll: asked for once this one is held
	wrong   string           // what an option found wrong with its arguments, "" if nothing
}

// TTL is how long the lock outlives its last confirmed renewal: a node that
// crashes or is cut off keeps its locks from others for this long. Renewals go
// out every third of it. Default: 15 seconds, or Params.MaxTTL if that is less.
// A TTL of 0 or less, or above Params.MaxTTL, is ErrInvalid.
func TTL(d time.Duration) Option { return func(o *options) { o.ttl = d } }

// NoRenew lets the lock run out one TTL after it was granted, unless
// [Lock.Renew] is called.
func NoRenew() Option { return func(o *options) { o.noRenew = true } }

// Note is shown to whoever asks who holds the lock, and in the error of those
// who could not have it: valid UTF-8 of at most 256 bytes.
func Note(s string) Option { return func(o *options) { o.note = s } }

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
	switch {
	case o.wrong != "":
		return o, invalid(o.wrong)
	case key == "":
		return o, invalid("the key is empty; a key has 1 to " + strconv.Itoa(maxKeyBytes) + " bytes")
	case len(key) > maxKeyBytes:
		return o, invalid(fmt.Sprintf("the key has %d bytes; a key has 1 to %d: hash a longer one", len(key), maxKeyBytes))
	case strings.HasPrefix(key, leasePrefix):
		return o, invalid("the key begins with " + quote(leasePrefix) + ", as only those of leases do")
	case o.ttl <= 0:
		return o, invalid(fmt.Sprintf("TTL is %v; it must be above 0, and is %v by default", o.ttl, min(defaultTTL, p.MaxTTL)))
	case o.ttl > p.MaxTTL:
		return o, invalid(fmt.Sprintf("TTL is %v; the mesh's Params.MaxTTL is %v, and no lease may be longer", o.ttl, p.MaxTTL))
	case len(o.note) > maxNoteBytes:
		return o, invalid(fmt.Sprintf("the note has %d bytes; at most %d are kept", len(o.note), maxNoteBytes))
	case !utf8.ValidString(o.note):
		return o, invalid("the note is not valid UTF-8")
	}
	return o, nil
}

func quote(s string) string { return strconv.Quote(s) }
