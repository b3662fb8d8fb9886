// Package notify writes messages to people and hands them to a sender.
//
// [Render] turns a template, a reader's locale, the property's zone and the facts
// ([Data]) into a [Message]: subject, plain text and HTML that say the same. The
// wording of every language is a file in locales; a template is a short recipe
// (recipe.go) of which phrases and facts appear in which order; one layout
// (mail.html) serves all of them. To change what a message says, edit the
// language files and run the tests with -update to see the difference in
// testdata/golden.
//
// Who is written to, and when, is not decided here but by access.Notices. Who is
// written to how is a [Sender]: [OutboxSender] keeps messages for developers to
// read instead of sending them; packages sendgrid, smtp, twilio and push send them. What a
// sender cannot send it says in one vocabulary, a [Refusal]; what follows from that,
// another try or another channel, is package delivery's.
//
// Everything in Data was typed by somebody. Names are cleaned of control and
// invisible characters and shortened, so that they can neither add a header to an
// email nor drown its text; web addresses in them are taken apart, so that mail
// programs do not turn a name into a link.
package notify
