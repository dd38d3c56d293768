package transport

import (
	"net"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Identity is what a node says of itself in every handshake.
type Identity struct {
	ID      ownership.NodeID
	Cluster string // nodes of another cluster are refused, loudly
	Name    string // for people and logs
}

// Transport moves messages between nodes. Its contract is the weakest that the
// protocol needs: a message may be lost, doubled, late or out of order; what
// arrives is what was sent, and From is the node that sent it.
//
// All methods may be called from any goroutine and none waits for the network.
type Transport interface {
	// Start begins to receive. Each message is handed to deliver and each hint
	// to hint, from goroutines of the transport, several at once; both return
	// quickly, or they hold up the peer that they are called for, and neither
	// calls Close.
	Start(id Identity, deliver func(Received), hint func(Hint)) error

	// Send queues a message. One for a node without a known address, or more
	// than a slow peer's queue takes, is dropped, oldest first: the protocol
	// sends again what matters. So is one that waited for seconds in vain. Of
	// messages that say where the sender stands (Renew, Decided, …) only the
	// newest waits.
	Send(e ownership.Envelope)

	// Learn tells where a node is dialled; Forget that it will not be needed.
	Learn(id ownership.NodeID, addr string)
	Forget(id ownership.NodeID)

	// Rename goes on under a new identity: connections of the old one are
	// closed, and what is queued for them is dropped. A message to the old
	// identity that is already on its way to deliver arrives with that one in
	// Received.To; the receiver drops it.
	Rename(id Identity)

	// Close ends all goroutines and sockets and returns when they are gone.
	Close() error
}

// Received is a message that arrived.
type Received struct {
	From    ownership.NodeID
	To      ownership.NodeID // who this node was when it arrived: see Rename
	Mesh    ownership.MeshID // the sender's mesh when it sent, 0 for none
	Message ownership.Message
}

// HintKind is what a transport noticed of a peer.
type HintKind uint8

// The hints.
const (
	HintUp      HintKind = iota + 1 // a handshake with it succeeded
	HintGone                        // its address refuses connections, or another node answers there: the process is gone
	HintRefused                     // it, or we, refused the handshake: see Reason
	HintGarbage                     // it sent what cannot be decoded and was disconnected
)

// Hint is a hint about a peer. Nothing that it says is unsafe to believe or to
// ignore.
type Hint struct {
	Kind   HintKind
	ID     ownership.NodeID // 0 if unknown
	Addr   string           // where it was dialled, or the far end of what it dialled
	Reason string
}

// Gossip is the half of a real transport that belongs to the failure detector:
// UDP packets and TCP streams on the port of the lock traffic. Streams are told
// apart by their first bytes.
type Gossip interface {
	Addr() *net.TCPAddr // where both sockets listen
	WritePacket(b []byte, addr string) (time.Time, error)
	Packets() <-chan Packet
	DialStream(addr string, timeout time.Duration) (net.Conn, error)
	Streams() <-chan net.Conn
}

// Packet is a gossip packet that arrived.
type Packet struct {
	Data []byte
	From net.Addr
	At   time.Time
}
