// Package app puts the program together: its command line, its settings, and the
// wiring of store, workflows, API and panels into roles.
//
// [Commands] is the command line. Engine (engine.go) is the running system of one
// process; the commands differ only in which parts of it they start and where
// PostgreSQL and Temporal come from. Adapters between packages that must not know
// each other are here too: panels.go carries commands and grants to panels,
// delivery.go turns rows into messages.
package app
