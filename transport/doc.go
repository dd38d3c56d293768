// Package transport carries ownership's messages between nodes: over TCP, with
// the gossip of the failure detector on the same port (Listen), or in memory for
// tests (NewMemory). Both keep the contract of Transport and pass one test.
//
// # On the wire
//
// A connection begins with a greeting each way, then carries frames each way
// until it ends. Numbers outside msgpack are big endian.
//
//	greeting   0        4        6                            6+n
//	           +--------+--------+-----------------------------+
//	           | magic  | n      | msgpack array: see greeting |
//	           +--------+--------+-----------------------------+
//
//	frame      0        4         5                                4+n
//	           +--------+---------+-----------+-----------+---------+
//	           | n      | version | message   | message   | …       |
//	           +--------+---------+-----------+-----------+---------+
//
//	message    msgpack array [kind, mesh, body], the body again an array:
//	           the fields of the message in the order of codec_messages.go,
//	           which is that of its struct; a struct within it is an array
//
// The value of a lock travels as msgpack's binary, nil as its nil: one that is
// empty arrives as empty. Lists that are empty arrive as nil. What is mostly zero
// (a mode that is exclusive, a ticket, a holder) then travels as nil.
//
// A frame without messages is a sign of life. n is at most maxFrame, or
// maxGreeting.
//
// # Versions
//
// Every array may be longer or shorter than the reader knows: fields it does not
// know are skipped, fields that are missing keep their zero value, a message of
// an unknown kind is skipped. So a field is only ever added, at the end, with a
// zero value that means what was meant before it existed, and old and new nodes
// mix in a rolling upgrade. A change that this cannot express raises
// oldestVersion, and nodes apart by that refuse each other in the greeting.
//
// # Bytes from outside are hostile
//
//   - No memory is taken because a length says so. A frame longer than the read
//     buffer gets its memory as its bytes arrive; a greeting, a string or a list
//     after its length was checked, by its own limit and, within a frame, by the
//     bytes that are left for it.
//   - A message may make the reader allocate a fixed multiple of its own size.
//   - What is not known is skipped without recursion and without allocation.
//   - Nothing is decoded by reflection or into an interface.
//   - A view must be one that View.Validate accepts.
//
// Who breaks one of these rules is disconnected and logged, never more. Without
// TLS a peer is believed when it states its NodeID: the port belongs in a
// network whose hosts are trusted.
//
// The rules hold for lock traffic. Gossip's streams, and its packets of up to
// maxPacket bytes, are handed on as they come: who takes them checks them, in
// front of memberlist that is package mesh. Of connections that have not said
// which of the two they are there are at most maxGreetings: the oldest is closed
// when one more comes.
//
// # Connections
//
// A pair of nodes has one connection, whoever dialled it. When both dial at once
// the dial of the lower NodeID goes first: see (*TCP).judge. A connection that
// breaks is dialled again at once, even with nothing to send, because the host
// of a killed process refuses it, and that is the fastest proof of its death
// there is (HintGone).
package transport
