// Package e2e tests the real program from outside: real processes, a real
// PostgreSQL and Temporal, panels that outlive the engine, HTTP as any app would use
// it, and kill -9 where it hurts.
//
// The tests run the binary that LATCHKEY_BIN names, or build one. They play the
// story of package story with seconds where life has days.
package e2e
