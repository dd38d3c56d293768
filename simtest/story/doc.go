// Package story draws what happened in one simulated run as one HTML page: a
// space-time diagram, as Lamport drew them. The page needs no network and no
// other file, so it can be mailed and attached to a bug.
//
// # How to read the page
//
// Time runs downwards. Each node is a lane, its name stays on top. What is drawn
// on and between the lanes:
//
//	arrow            a message, from when it was sent to when it arrived. Its name
//	                 stands at its head. Colour and the shape of the tail tell the
//	                 family: views, membership, group, locks (see [FamilyOf])
//	arrow into an ×  a lost message; the reason stands beside its name
//	dashed arrow     a duplicate
//	arrow, no head   still under way at the end of the run; short if there are
//	                 many
//	bar in a lane    a lock that this node believes it holds, with key and token; a
//	                 pale one takes only a part of its key
//	solid red bar    a hold that is part of the violation
//	red bridge       two nodes hold one key, which has no room for both, for as long
//	                 as it reaches
//	hatched lane     the node is crashed; dotted amber lane: it is paused; no lane:
//	                 it does not run yet
//	strip beside a   something else that lasts: a cut link, a clogged one, a lie, …
//	  lane
//	violet rule      a view of the whole world; violet diamond: a node learns it
//	amber triangle   a fault
//	red line         the failure
//
// The page opens at the failure, in "events" time: each event has a row of its
// own and quiet time shrinks to a break ("…1.9 s…"), so that messages that are
// microseconds apart can be told from each other. "Linear" time is true to scale.
// Messages that are sent all the time, like heartbeats, are hidden when there are
// many. Of more than nine nodes, those are shown at first that have to do with
// the failure or are busy around it.
//
// Pointing at anything shows all about it in the panel on the right, together
// with what every node was and held at that moment; clicking keeps it there.
// The keys j and k walk from event to event, ? lists the others.
//
// Equal stories give equal pages, byte for byte.
package story
