package app

import "context"

// Bench measures.
type Bench struct{}

// Run measures.
func (c *Bench) Run(context.Context) error { return nil }
