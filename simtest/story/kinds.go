package story

// Family is what a message is about.
type Family string

// The families.
const (
	Views      Family = "views"
	Membership Family = "membership"
	Group      Family = "group"
	Locks      Family = "locks"
	Other      Family = "other" // a kind that this package does not know
)

type kind struct {
	Family  Family `json:"family"`
	Routine bool   `json:"routine,omitempty"` // sent all the time, whatever happens
}

// kinds are the messages of package ownership.
var kinds = map[string]kind{
	"Prepare":    {Family: Views},
	"Promise":    {Family: Views},
	"Propose":    {Family: Views},
	"Accepted":   {Family: Views},
	"Decided":    {Family: Views},
	"DecidedAck": {Family: Views},
	"AskView":    {Family: Views},

	"Contact":  {Family: Membership, Routine: true},
	"Found":    {Family: Membership},
	"FoundAck": {Family: Membership},
	"Join":     {Family: Membership},
	"Refused":  {Family: Membership},
	"Renew":    {Family: Membership, Routine: true},
	"RenewAck": {Family: Membership, Routine: true},

	"Accept":     {Family: Group},
	"AcceptAck":  {Family: Group},
	"Confirm":    {Family: Group},
	"ConfirmAck": {Family: Group},
	"Seal":       {Family: Group},
	"SealAck":    {Family: Group},
	"Install":    {Family: Group},
	"Settled":    {Family: Group},
	"SettledAck": {Family: Group},
	"Stuck":      {Family: Group},

	"Acquire":      {Family: Locks},
	"Release":      {Family: Locks},
	"Answer":       {Family: Locks},
	"Heartbeat":    {Family: Locks, Routine: true},
	"HeartbeatAck": {Family: Locks, Routine: true},
	"Alter":        {Family: Locks},
	"Query":        {Family: Locks, Routine: true}, // a watch asks each second
	"Report":       {Family: Locks},
	"Revoke":       {Family: Locks},
	"Notice":       {Family: Locks},
}

// FamilyOf returns the family of a kind of message.
func FamilyOf(kind string) Family {
	if k, ok := kinds[kind]; ok {
		return k.Family
	}
	return Other
}

// Routine says whether messages of this kind are sent all the time, whatever
// happens. The page hides them if there are many.
func Routine(kind string) bool { return kinds[kind].Routine }
