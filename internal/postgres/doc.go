// Package postgres runs the private PostgreSQL cluster of `latchkey up`.
//
// A newcomer has no database server to point Latchkey at, and an operator of
// one machine wants one directory to back up. So `up` makes a cluster of its own
// inside its data directory, with the PostgreSQL programs found on the machine,
// and keeps in it the application's database and Temporal's two.
//
//	DIR/latchkey-data      says that Latchkey made DIR; no other directory is touched
//	DIR/lock               held for as long as a `latchkey up` uses DIR
//	DIR/postgres/          the cluster (or a link to it, see below)
//	DIR/postgres.log       the server's log
//	DIR/postgres-password  the password of the role "latchkey", mode 0600
//
// The server listens on a unix socket in a private directory and on no network
// address. The role "latchkey" signs in with a random password, owns its
// databases and is no superuser; the superuser "postgres" is for the operating
// system account that runs the server, and for root.
//
// PostgreSQL refuses to run as root, so for root it runs under the account
// "postgres" that its package made. Where that account cannot reach DIR (below
// /root, say), the cluster is kept in /var/lib/latchkey and DIR/postgres is a
// link to it.
//
// Life and death: the cluster is made under another name and renamed when it is
// complete, so a start that was killed half way leaves nothing that looks
// finished. When this process is killed the server lives on; the next start
// finds it and goes on with it. Everything a person has to put right comes back
// as an [*Error], whose sentence says what to do.
package postgres
