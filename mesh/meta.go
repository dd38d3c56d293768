package mesh

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"

	"github.com/lockmesh/lockmesh/ownership"
)

// meta is what a node says of itself through gossip. Gossip allows 512 bytes.
// It carries the NodeID because gossip itself does not notice a restart.
//
//	version  1 byte, metaVersion
//	NodeID   8 bytes, big endian
//	cluster, name, address, zone: 1 byte length and the bytes each
//
// A reader skips what follows, so a field is only ever added, at the end.
type meta struct {
	cluster string
	member  ownership.Member
}

const metaVersion = 1

var errMeta = errors.New("not the metadata of a lockmesh node")

func (m meta) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{metaVersion}, uint64(m.member.ID))
	for _, s := range []string{m.cluster, m.member.Name, m.member.Addr, m.member.Zone} {
		b = append(b, byte(len(s))) // the limits of Config keep it below 256
		b = append(b, s...)
	}
	return b
}

// decodeMeta reads what a peer says of itself. b comes from outside.
func decodeMeta(b []byte) (meta, error) {
	var m meta
	if len(b) < 9 || b[0] != metaVersion {
		return m, errMeta
	}
	m.member.ID = ownership.NodeID(binary.BigEndian.Uint64(b[1:]))
	b = b[9:]
	for _, to := range []*string{&m.cluster, &m.member.Name, &m.member.Addr, &m.member.Zone} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return m, errMeta
		}
		*to = string(b[1 : 1+int(b[0])])
		b = b[1+int(b[0]):]
		if !utf8.ValidString(*to) {
			return m, errMeta
		}
	}
	if m.member.ID == 0 || m.cluster == "" || checkHostPort(m.member.Addr, false) != nil {
		return m, errMeta
	}
	return m, nil
}
