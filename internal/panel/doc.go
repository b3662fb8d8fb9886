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
// A receiver checks, in this order: size (1 MiB), signature with the one key it knows
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
// of them has the fingerprint in the code and made the signature. Sending the same code
// with the same key again repeats the answer: a panel that got none sends it until it
// does.
//
// # Engine to panel
//
//	PUT  <address>/grants/{grant_id}   grant   → grant_ack   what to hold about one item
//	POST <address>/commands            command → result      open this entrance now
//	GET  <address>/status              status_query → status   signed in the header Authorization: Bearer
//
// A grant replaces what the panel holds under its id if its revision is higher,
// and is on disk before it is acknowledged. A tombstone opens nothing and is kept as
// any grant is, so that no older revision comes back (P3); a newer revision that is none
// gives access anew, as when an entrance is taken from an invitation and given back. A
// lower or equal revision changes nothing; the acknowledgement names the revision that is
// held. The window is from starts_at, inclusive, to ends_at, exclusive; without one of
// them it is open on that side. lease_until is for a panel that admits people by itself
// while it is cut off (P2); a command does not depend on it.
//
// A command (P4) is carried out only if expires_at is ahead on the panel's clock,
// boot_id is the one the panel made when it started, and the panel holds no newer
// revision of the grant, no tombstone, and, where it holds this revision, the window of
// the grant contains now and its entrances the one named. All this is judged when the
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
// key_not_here and no_free_slot. What was typed is in no event.
//
// # Panel to engine
//
//	POST /panel/v1/events   events → events_ack    what happened; empty at least every 60 seconds
//	POST /panel/v1/taps     tap    → tap_answer    a phone was held to the panel
//	POST /panel/v1/sync     sync   → sync_answer   everything to hold, after a start; in parts, see next
//
// A boot id is random and new at every start. Events of a boot count up from 1; they
// are kept until acknowledged, over restarts too, sent in order, and those of an
// earlier boot before those of a later one (P6). A batch has the events of one boot;
// the acknowledgement names up to which seq of that boot the engine has everything, and
// the panel sends what comes after. Every command that was carried out or refused is an
// event, opened or denied with the result as code, and with command_id, grant_id and
// entrance_id. Every tap has a tap_id of its own. A tap whose answer was lost is sent
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
