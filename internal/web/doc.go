// Package web renders the pages that people see in a browser.
//
// A page is a function that gets what it shows and writes a whole response:
// headers, status and HTML. Routing, sign-in and reading the store are the
// caller's. There is no JavaScript and nothing is loaded from elsewhere; every
// page carries a Content-Security-Policy that says so, and its style sheet comes
// from [Assets] under a name that changes with its content.
//
// Pages:
//
//   - [OutboxPage]: /dev/outbox, the messages that were not sent because the
//     outbox is the configured sender
//   - [InvitationPage] and [InvitationNotFoundPage]: /i/{token}, where the link in
//     an invitation leads and is answered (I2 to I4)
//   - [GuestPage] and [TapPage]: /guest, a guest's keys (I6, I7, I9)
//   - [VisitPage] and [VisitNotFoundPage]: /r/{token}, the booking URL of a
//     reservation (K3, K7, K8)
//   - [SignInPage]: /sign-in, with a code from an email
//   - [FailurePage]: what a form answers that could not be carried out
//   - [MutePage] and [MuteNotFoundPage]: /mute/{token}, where a member switches off
//     unlock notices (I7)
//
// Pages for guests speak the guest's language (locales); those for developers
// speak English.
package web
