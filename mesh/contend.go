package mesh

// contention is what a Lock does when others wait for it (K14). The Lock's mu
// guards it.
type contention struct {
	call    func(*Lock) // OnContended's, nil if none
	running bool
	again   bool // somebody new waits since it was called
}

// onContended is called by the loop: somebody waits for this lock.
func (l *Lock) onContended() {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.contended
	switch {
	case c.call == nil || l.phase != lockHeld:
	case c.running:
		c.again = true
	default:
		c.running = true
		go l.callContended()
	}
}

// callContended calls the user's function, one call after the other, as long as
// the lock is held and there is news.
func (l *Lock) callContended() {
	for l.Err() == nil {
		l.contended.call(l)
		l.mu.Lock()
		more := l.contended.again
		l.contended.again, l.contended.running = false, more
		l.mu.Unlock()
		if !more {
			return
		}
	}
}
