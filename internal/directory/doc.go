// Package directory holds what an account sets up before anybody can be let in:
// properties with their zone and policy, members, panels, entrances and API keys,
// and the people behind them.
//
// These are the domain types: the store reads and writes them, the API renders
// them, and nothing here knows either. Names, addresses and numbers in them are
// plain text in memory only; the store encrypts them under a key per person (E7).
// All instants are UTC.
package directory
