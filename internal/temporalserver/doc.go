// Package temporalserver runs Temporal's server and its web UI inside this
// process, for `latchkey up`.
//
// Temporal is four services (frontend, history, matching, worker) and a database.
// Here the four share one process on ports of 127.0.0.1, and keep their two
// databases, "temporal" and "temporal_visibility", in the private PostgreSQL of
// package postgres: one store, one backup. With four hosts that are known from
// the start there is nothing to gossip about, so hosts are given statically,
// which takes seconds off the start.
//
// Start brings the databases' schema to this release's version, the first time
// and after an upgrade, and enters the namespace with its search attributes
// straight into the database before the server reads it. Through the API the same
// would work only seconds later, when every service has refreshed its cache.
//
// A Server can be stopped while the process goes on. Doors open without it (E9);
// started again on the same port, clients find it by themselves.
package temporalserver
