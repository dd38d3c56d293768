package simtest

type Trace struct{}
type recorder struct{}

func record(s *Stage) *recorder                        { return &recorder{} }
func (r *recorder) trace(seed uint64, s *Stage) *Trace { return nil }
