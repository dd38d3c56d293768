package mesh

import (
	"errors"
	"fmt"
	"strings"
	"sync"
)

// ErrFenced: a token below one that was seen before. Whoever has it held the lock
// once; somebody else holds it now, or did since. See [Fence].
var ErrFenced = errors.New("fenced off: a later holder has been here")

// Fence keeps late writers away from what a lock protects. A holder that is paused
// beyond its deadline and then goes on does not know that its lock is gone; the
// resource knows, since it has seen a higher token: see [Lock.Token]. No clock is
// needed for that.
//
// A Fence guards what this process has in its memory: a cache, a file that it alone
// writes, a device. Its zero value is ready; it must not be copied. It remembers the
// highest token of each key until [Fence.Forget].
//
//	var (
//		fence mesh.Fence
//		mu    sync.Mutex // of what is written
//	)
//	mu.Lock()
//	defer mu.Unlock()
//	if err := fence.Admit(key, token); err != nil {
//		return err
//	}
//	… // write
//
// Admit and the write are one critical section: else a holder that was admitted
// may write after a later one has.
//
// # In a database
//
// The row carries the token that wrote it, and each write asks for it. A token fits
// a signed 64-bit column, and a row that no lock has written yet has token 0, not
// NULL.
//
//	UPDATE orders SET state = $3, token = $1 WHERE id = $2 AND token <= $1
//
// One row: written. No row: fenced off (or there is no such order: check that where
// it can be). In one transaction with other writes this one goes first, and no row
// means ROLLBACK. Where the row may not exist yet (PostgreSQL, SQLite):
//
//	INSERT INTO orders (id, state, token) VALUES ($2, $3, $1)
//	ON CONFLICT (id) DO UPDATE SET state = excluded.state, token = excluded.token
//	WHERE orders.token <= excluded.token
//
// No row changed: fenced off. DELETE forgets the token, and a late INSERT then goes
// through: mark such rows as deleted instead, or keep the tokens in a table of their
// own.
//
// # Over HTTP
//
// The client sends the token in a header, and the server, which has a Fence or the
// statement above, compares before it writes:
//
//	PUT /orders/17
//	Fencing-Token: 3422552064123
//
// It answers 412 (Precondition Failed) to a token that is fenced off, and 428
// (Precondition Required) to a request without one. A store that knows If-Match but
// no tokens keeps the token beside the data, in the object or its metadata:
//
//	GET   the ETag, and the token that wrote it; above ours: fenced off, stop
//	PUT   with If-Match: that ETag, and our token as the new one
//	412   somebody wrote in between: begin again with GET
//
// (Kleppmann, "How to do distributed locking", 2016; Chubby, section 2.4; RFC 9110,
// section 13; RFC 6585, section 3.)
type Fence struct {
	mu   sync.Mutex // held for moments
	seen map[string]uint64
}

// Admit returns nil if token is at least as high as every one that was admitted
// for key before: a holder may write any number of times. Otherwise the error is
// [ErrFenced], and names both tokens. A token of 0 and an empty key are ErrInvalid:
// no lock has them. Both are *Error. It may be called from any goroutine.
func (f *Fence) Admit(key string, token uint64) error {
	switch {
	case key == "":
		return &Error{"Admit", key, invalid("the key is empty")}
	case token == 0:
		return &Error{"Admit", key, invalid("the token is 0, which no lock has; use Lock.Token")}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	highest, known := f.seen[key]
	switch {
	case token == highest:
		return nil
	case token < highest:
		return &Error{"Admit", key, because(fmt.Sprintf("token %d is fenced off: a later holder has come with %d", token, highest), ErrFenced)}
	case f.seen == nil:
		f.seen = map[string]uint64{}
	}
	if !known {
		key = strings.Clone(key) // it may be a piece of something large
	}
	f.seen[key] = token
	return nil
}

// Forget drops what is known of a key: the memory that it takes, about its length
// and 50 bytes. From then on any token is admitted first, so forget only what will
// not be written again, by nobody who may be late either.
func (f *Fence) Forget(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.seen, key)
}
