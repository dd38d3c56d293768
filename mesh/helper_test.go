package mesh

import (
	"fmt"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/ring"
	"github.com/lockmesh/lockmesh/transport"
)

func partitionOf(key string, partitions int) int { return ring.Partition(key, partitions) }

// keyIn finds a key of a partition.
func keyIn(p, partitions int) string {
	for i := 0; ; i++ {
		if key := fmt.Sprintf("key-%d", i); partitionOf(key, partitions) == p {
			return key
		}
	}
}

func grantedAt(n *Node, ttl time.Duration) ownership.Granted {
	return ownership.Granted{Handle: 1, Token: 1 << 32, Deadline: n.now() + ownership.Time(ttl)}
}

func received(to ownership.NodeID) transport.Received {
	return transport.Received{From: 1, To: to, Message: ownership.AskView{}}
}

func listenTest(t *testing.T, addr string) *transport.TCP {
	t.Helper()
	tcp, err := transport.Listen(transport.Options{Bind: addr})
	if err != nil {
		t.Fatal(err)
	}
	return tcp
}
