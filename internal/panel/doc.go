// Package panel is the protocol between the engine and panels: door panels and
// SmartBoxes. This comment is enough to write a panel in any language; the
// files in testdata show each message as it travels, signed with two keys whose
// seeds are 32 bytes of 1 (the engine) and of 2 (the panel). Ed25519 is
// deterministic: the same payload and key make the same signature.
//
// # Messages
//
// Every body in either direction is a compact JWS (RFC 7515), media type
// application/jose, algorithm EdDSA with Ed25519 keys and no other. The header may
// name the key (kid) and must not carry one (jwk). Its payload is an envelope:
//
//	{"iss": "latchkey", "aud": "pan_…", "iat": 1764590400, "exp": 1764590460,
//	 "jti": "…", "typ": "command", "re": "…", "body": {…}}
//
// iss and aud are "latchkey" for the engine, the panel's id for a panel and
// "unenrolled" for a panel that has none yet. iat and exp are Unix seconds, at most 60
// apart. jti is unique, of at most 64 bytes. typ says what body is. re is the jti of
// the message that is answered and absent in requests. Instants in bodies are RFC 3339.
// Fields that a receiver does not know are ignored, and so are values of type and
// result that it does not know. A field that has nothing to say may be absent.
//
// A receiver checks, in this order: size (1 MiB), signature with a key it trusts
// for the sender, aud, iss, typ and re, iat and exp by its own clock with 30 seconds of
// tolerance, and that the jti is new. An answer needs no memory of jtis, because it
// names its request. A panel may forget jtis when it restarts: a grant or a command
// that comes twice does nothing the second time. Only a message that is good in all
// else is remembered. An answer travels with status 200. What fails is answered with an
// HTTP status in the four hundreds and {"code": …, "detail": …}, unsigned, and has no
// effect. The codes are those of type [Code]: too_large; malformed (no compact JWS with
// EdDSA, a key in the header, no envelope with a jti, no body as typ says);
// bad_signature (also another iss); wrong_audience; wrong_type (typ, or re);
// expired_message (iat or exp); replayed. An answer that fails is as if it had not
// come. An enrolment, a report or a sync without an answer, or with a status of 500 or
// more, is sent again with a new jti.
//
// # Enrolment (P1)
//
// A person types an enrolment code into the panel. In base32, without dashes and
// spaces, it is 26 bytes: 16 random ones, which the engine recognises, and the first 10
// of the SHA-256 of the engine's public key, of its 32 bytes. The panel makes a key
// pair and sends POST /panel/v1/enrol with typ "enrol", signed with the new key: the
// code as it was typed (enrolment_code), the public key as a JWK (public_key), the
// address at which the engine reaches it, and as encryption_key, a JWK too, a P-256 key
// to which booking codes are encrypted. A panel learns its kind from the answer, so one
// that can be either sends that key always. The answer names the panel (panel_id) and
// has what a sync answers besides, of which "sync" below. The answer ("enrolled")
// carries the engine's keys (engine_keys, a JWK set); the panel accepts it only if one
// of them has the fingerprint in the code and made the signature. From then on
// it trusts all of them. Sending the same code with the same key again repeats the answer:
// a panel that got none sends it until it does. A panel that will poll (see below) leaves
// address out.
//
// # Keys of the engine (P1)
//
// The engine can have several keys at a time. A panel trusts a set of them, which is
// on disk: a message of the engine is good if any of the set verifies it; the kid in
// its header is only a hint. Every "events" and "sync" says in engine_key_ids which
// keys those are, by their kid. If they are not the ones the engine uses, its answer
// ("events_ack", "sync_answer") carries engine_keys, a JWKS: the new set, which
// replaces the old one once the answer's own signature has been verified with the
// old one. It is on disk before the panel names it in its next report. A set without
// a usable Ed25519 key is ignored. The engine signs to a panel with the newest key
// that the panel has named, and drops an old key only when every panel has named the
// newest, so that nobody has to enrol anew. A panel that names no keys keeps those it
// enrolled with.
//
// # Engine to panel
//
//	PUT  <address>/grants/{grant_id}   grant   → grant_ack   what to hold about one item
//	PUT  <address>/entrances/{entrance_id}/policy   policy → policy_ack   what holds at one entrance
//	POST <address>/commands            command → result      open this entrance now
//	GET  <address>/status              status_query → status   signed in the header Authorization: Bearer
//
// A grant replaces what the panel holds under its id if its revision is higher,
// and is on disk before it is acknowledged. A tombstone opens nothing and is kept as
// any grant is, so that no older revision comes back (P3); a newer revision that is none
// gives access anew, as when an entrance is taken from an invitation and given back. A
// lower or equal revision changes nothing; the acknowledgement names the revision that is
// held. The window is from starts_at, inclusive, to ends_at, exclusive; without one of
// them it is open on that side.
//
// A command (P4) is carried out only if expires_at is ahead on the panel's clock,
// boot_id is the one the panel made when it started, and the panel holds no newer
// revision of the grant, no tombstone, no newer policy document that refuses it (see
// below), and, where it holds this revision, the window of the grant contains now and
// its entrances the one named. All this is judged when the
// panel acts, by its own clock. A command under a newer revision than the panel holds,
// or of a grant that it does not hold, is the engine's word, for an entrance of this
// panel. The command_id is on disk before anything moves. A command_id that was seen
// before gets its first result again, at included, whatever else has changed, over a
// restart too. op "unlock" names an entrance_id, "open_slot" a slot; the results are
// those of type [Result]: opened; expired; stale_boot; stale_revision (a newer revision
// is held, or a tombstone); outside_window; not_shared (no such entrance here, or not
// in the grant, or no such op); refused (for a reason of the panel's own); and those of
// SmartBoxes.
//
// # Policy documents (P2)
//
// A policy document says what holds at one entrance for everybody, whatever grants say.
// There is one per entrance, and one per SmartBox under the box's own panel id as
// entrance_id:
//
//	{"entrance_id": "ent_…", "version": 7, "open_to_guests": true, "time_zone": "Europe/Lisbon",
//	 "schedules": [{"days": ["mon", "fri"], "from": "22:00", "to": "02:00"}], "locked_down": false}
//
// It replaces what the panel holds for the entrance if its version is higher, and is on
// disk before it is acknowledged. An older or equal one changes nothing; policy_ack
// ({"entrance_id", "version"}) names the version that is held. A document admits at an
// instant if locked_down is false, open_to_guests is true, and schedules is empty or
// one of them contains the instant. A schedule is read on the wall clock of time_zone,
// from inclusive, to exclusive; to before or equal to from runs over midnight and
// belongs to the day on which it begins, so the one above is open on Saturday at 01:00;
// "24:00" is the end of the day. Where the clocks skip an hour, a time in it is moved
// forward by the skipped hour; where they show an hour twice, a from in it is the first
// and a to the second. A zone that the panel does not know admits nobody.
//
// A panel applies the documents that it holds to whatever it decides by itself. A typed
// code for pickup is refused with closed_by_policy, or with locked_down, which goes
// before; also locked_down if locked_keys names the key of the grant, which is then of
// another property under lock-down. Drop-off is refused by no document. To a command
// the document is applied only if its version is higher than the command's
// policy_version (absent: 0), the version by which the engine decided; an equal or
// older one is not, because the engine knew it. The command is then answered with the
// result closed_by_policy or locked_down, after expiry, boot and revision were found
// good and before the window is looked at; one for drop-off never is. An entrance
// without a document is not restricted by this. enrolled and sync_answer carry all
// documents of the panel in policies, which are applied by version as well.
//
// # Leases (P2)
//
// The panel has one lease: until when it admits by itself, by a typed code for pickup
// or whatever else does not come from the engine at that moment. lease_until, an
// instant, is in grant, enrolled, sync_answer and events_ack, and sets it. Of two
// messages the one with the later iat counts, of two with the same iat the later one to
// arrive. It can set an earlier end than the one before. A message without it changes
// nothing. It is on disk before the message is answered. After it, on the panel's own
// clock, a code for pickup is refused with lease_expired; so it is as long as no lease
// was ever given. Drop-off, commands and the window of a grant do not depend on it. It
// survives a restart; a panel that lost its memory has none until it is given one. An
// events message says in lease_until which lease the panel holds, and leaves it out if
// it holds none.
//
// # Panels that poll
//
// A panel whose address cannot be reached from the engine sends
//
//	GET /panel/v1/commands?wait=25s   poll → deliveries   signed in the header Authorization: Bearer
//
// again and again, a new poll as soon as the one before is answered, so that one is
// always waiting. The engine answers with the messages that wait for the panel, or
// after the given time (25s at most) with none. messages holds each one as it would
// have come to the panel's address, a compact JWS of its own: the panel checks and
// obeys them in order, as if they had come there one by one, by their typ ("grant",
// "command", "status_query" and so on), and sends what it would have answered:
//
//	POST /panel/v1/answers   answers → answers_ack
//
// answers holds the signed answers, each with the re of its message; refused names
// the jti of each message that was refused, with code and detail as in a refusal
// over HTTP. The panel goes on polling while it answers. If the answers_ack does not
// come it sends the answers again, in a message of its own with a new jti, for a few
// seconds: after that nobody waits for them. An answer that comes twice, or too late,
// has no effect.
//
// Only the newest poll of a panel gets messages; an older one that is still open is
// answered with none at once. A panel whose poll is answered with none before its time
// pauses for a second before the next one. A message that no poll fetched in time is withdrawn: it
// does not come later. A panel that has lost the answer to a poll has lost the
// messages in it; the engine sends grants again and never a command on its own.
// A panel that has polled within 60 seconds is sent everything this way, whether or
// not it has announced an address.
//
// # Passes (P9)
//
// A door panel that is cut off admits a guest by a pass: a compact JWS, EdDSA by one
// of the engine's keys, of at most 16 KiB, that the guest's phone fetched earlier. It
// is no envelope and is sent to nobody; the phone shows it to the panel, with a proof.
// How both travel from phone to panel (NFC, Bluetooth) is the vendor's to choose. The
// phone learns panel and entrance from the panel then. The payload of a pass is
//
//	{"iss": "latchkey", "aud": "panels", "sub": "inv_…", "jti": "pass_…", "typ": "pass",
//	 "iat": 1764590400, "exp": 1764676800, "entrances": ["ent_…"],
//	 "cnf": {"jwk": {…}}, "grant_revision": 3}
//
// sub is the grant's id; cnf.jwk the public key of the phone, Ed25519 or P-256 (RFC
// 7800). exp is at most 24 hours after iat. grant_revision is the grant's when the
// pass was issued; the panel judges by the revision that it holds, newer or older.
// The proof is a compact JWS by the phone's key, EdDSA for Ed25519 and ES256 for
// P-256 and no other algorithm, made for this one time:
//
//	{"aud": "pan_…", "typ": "proof", "entrance_id": "ent_…", "pass_id": "pass_…",
//	 "iat": 1764590400, "jti": "…"}
//
// The panel checks, by its own clock, and the first that fails is the code:
//
//	pass_invalid     the pass is signed by a trusted key; iss, aud and typ are as above,
//	                 sub and jti not empty, exp at most 24 hours after iat
//	pass_expired     iat is at most 30 seconds ahead, and now is before exp
//	pass_unproven    the proof is signed by cnf.jwk; typ is "proof", aud this panel's id,
//	                 entrance_id the entrance it is held to, pass_id the pass's jti; its
//	                 own jti has 1 to 64 bytes
//	proof_expired    iat of the proof is at most 30 seconds from now, and not before the
//	                 panel started: a panel forgets jtis when it does
//	proof_replayed   this jti was not shown with this pass before
//	not_shared       the entrance is one of this panel's
//	not_active       the panel holds the grant, and not its tombstone
//	not_shared       entrance_ids of the grant and entrances of the pass contain it
//	outside_window   the window of the grant contains now
//	pass_void        iat of the pass is not before passes_since of the grant, if there
//	                 is one: the manager has asked for verification since (I10)
//
// and then whether it may admit anybody by itself at this entrance now: its lease, and
// the entrance's policy document (P2). A panel may refuse for a reason of its own
// ("refused"). Before the door moves, the opening is on disk as an event opened with
// via "pass", entrance_id, grant_id (the pass's sub) and pass_id. A refusal is an event
// denied with via "pass" and the code; of a pass that is pass_invalid nothing is
// believed, so grant_id and pass_id are left out. A pass works the same whether or not
// the panel is cut off, and may be used until its exp; each use needs a new proof.
//
// # SmartBoxes
//
// A SmartBox has numbered slots, each of which knows which key it holds. Every box
// of an account holds the grants of all its reservations. kind is "reservation";
// key_id is the key; code_jwe the booking code: a compact JWE, ECDH-ES and A256GCM,
// of {"code": …, "grant_id": …}. A box keeps it as it came and decrypts it in memory.
//
// A typed code opens for pickup the slot that holds the key, inside the window and only
// if no_pickup is empty (P2); for drop-off any free slot, whatever the time, revision,
// window and no_pickup say, until the tombstone (K8). A code that cannot be decrypted,
// or names another grant_id inside, is as none, and the rest of the grant holds. After
// 5 wrong codes in 15 minutes typed codes are refused, for drop-off too, for a minute,
// and twice as long each time that it happens again, up to an hour (P7); commands still
// work. A code that is typed meanwhile makes no event and does not count; a restart
// does not end the lock-out; after a day without one it starts again from a minute.
//
// The command "open_slot" has a purpose, "pickup" or "dropoff", the key_id and the
// panel_code: the box shows a six-digit number, a new one every minute, and the number
// before is good for 15 seconds more; after a wrong one there is a new number at once,
// and none before it (P10). A command for pickup is judged as one for an entrance is;
// one for drop-off does not depend on revision, window and no_pickup, only on the
// tombstone. The result names the slot that opened; those that only a SmartBox gives
// are wrong_panel_code, key_not_here, no_free_slot, and pickup_denied where no_pickup
// is not empty.
//
// Its events are opened and denied with slot, op ("pickup", "dropoff") and via ("code",
// "command"), key_taken and key_returned with slot, key_id and, as grant_id, whose code
// or command opened the slot, and lockout with until. The codes of denied are results,
// and for typed codes wrong_code, not_yet and reservation_ended for the window, what
// no_pickup says (reservation_ended, reservation_revoked or visitor_id_required),
// closed_by_policy, locked_down, lease_expired, key_not_here and no_free_slot. What was
// typed is in no event.
//
// A pickup by code that fails for several reasons is refused for the first of these:
// no_pickup, the window, the key that is not here, the policy document, the lease.
//
// # Panel to engine
//
//	POST /panel/v1/events   events → events_ack    what happened; empty at least every 60 seconds
//	POST /panel/v1/taps     tap    → tap_answer    a phone was held to the panel
//	POST /panel/v1/sync     sync   → sync_answer   everything to hold, after a start; in parts, see next
//	GET  /panel/v1/commands poll   → deliveries    of a panel that polls, as is
//	POST /panel/v1/answers  answers → answers_ack  this
//
// A boot id is random and new at every start. Events of a boot count up from 1; they
// are kept until acknowledged, over restarts too, sent in order, and those of an
// earlier boot before those of a later one (P6). A batch has the events of one boot;
// the acknowledgement names up to which seq of that boot the engine has everything, and
// the panel sends what comes after.
//
// at is the panel's clock when it signs, in RFC 3339 with milliseconds: the engine
// measures by it how far the clock is off. An event's own at is when it happened,
// however late it is sent.
//
// Any panel can report besides: tamper (somebody opens its housing or tears at it), and
// battery with level, in percent, whenever that has changed by a few percent. Types
// that the engine does not know are acknowledged and ignored.
//
// If events are missing before those of a batch, events_ack has resend_from: the seq
// from which the panel sends the events of that boot again, at once and in order. It
// keeps the last thousand acknowledged ones for that, and sends what it still has. seq
// in such an answer is resend_from - 1. The engine asks once for each place; a batch
// that still begins after it is taken in, and the gap is noted.
//
// Every command that was carried out or refused is an event, opened or denied with the
// result as code, and with command_id, grant_id and entrance_id. Every tap has a tap_id of its own. A tap whose answer was lost is sent
// again with the same tap_id; only the command in the answer opens, and is judged as
// any other. The results of a tap are verified, wrong_entrance and expired.
//
// A sync says by lost that the panel no longer holds what it once confirmed, until it
// has an answer. The answer has the grants, the entrances of a door panel, its kind
// (none: door) and time_zone, and of a SmartBox the number of slots and as keys where
// the engine believes each key to be; the box's own sensors know better. With next in
// the answer there is more: the panel asks again with it as after, and without lost.
// Each part is taken in by revision like a grant that comes alone; a grant that is in
// no part stays held.
package panel
