// Package panelsim is a simulated panel. It speaks the panel protocol of package
// panel with the engine and nothing else, and has a control interface of its own,
// on the same address, by which people and tests hold a phone to it, look at its
// doors and break it.
//
// It keeps what a real panel would keep through a restart (identity, grants, seen
// command ids, events that the engine does not have yet) in an append-only journal
// file, written before anything moves: a process that is killed at any point never
// opens a door twice. The journal survives the death of the process, not the loss
// of power; a real panel would sync it.
//
// This issue of it is a door panel.
package panelsim
