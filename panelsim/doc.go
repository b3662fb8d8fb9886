// Package panelsim is a simulated panel. It speaks the panel protocol of package
// panel with the engine and nothing else, and has a control interface of its own,
// on the same address, by which people and tests hold a phone to it, look at its
// doors and break it.
//
// It keeps what a real panel would keep through a restart (identity, grants, seen
// command ids, events that the engine does not have yet) in an append-only journal
// file, written before anything moves: a process that is killed at any point never
// opens a door twice (P4). Each step is one line, one write and one sync, so that
// it survives a loss of power too.
//
// Besides the control calls that API.md lists it has POST /sim/tamper, somebody who
// opens the housing, and POST /sim/battery {"level": 12}, the battery reporting how full
// it is, in percent. GET /sim shows policies, the documents that it holds, and
// lease_until as well.
//
// What it simulates is a panel of doors; what a kind of panel does on a command is
// in judge and obey, all else is the same for every kind.
package panelsim
