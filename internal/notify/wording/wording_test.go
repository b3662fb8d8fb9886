package wording_test

import (
	"testing"
	"testing/fstest"
	"time"

	"latchkey/internal/notify/wording"
)

func catalog(t *testing.T) *wording.Catalog {
	t.Helper()
	c, err := wording.Load(fstest.MapFS{
		"locales/en.toml": {Data: []byte("hello = \"Hello {{.Name}}\"\nonly = \"only English\"\n")},
		"locales/ja.toml": {Data: []byte("hello = \"{{.Name}} 様\"\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A reader gets the language that suits them best, English if none does.
func TestInMatchesLocales(t *testing.T) {
	c := catalog(t)
	for locale, want := range map[string]string{
		"en": "en", "en-GB": "en", "ja": "ja", "ja-JP": "ja", "JA_jp": "ja", "fr": "en", "": "en",
		"not a locale": "en", "fr-FR, ja;q=0.8, en;q=0.5": "ja",
	} {
		if got := c.In(locale).Language(); got != want {
			t.Errorf("In(%q) speaks %s, want %s", locale, got, want)
		}
	}
}

// T1: dates in the reader's language, in the property's zone, with the zone.
func TestInstant(t *testing.T) {
	c := catalog(t)
	at := time.Date(2026, 12, 1, 6, 0, 0, 0, time.UTC)
	for _, w := range []struct{ locale, zone, want string }{
		{"en", "Asia/Tokyo", "Tue 1 December 2026, 15:00 (JST)"},
		{"ja", "Asia/Tokyo", "2026年12月1日(火) 15:00 (JST)"},
		{"en", "America/Los_Angeles", "Mon 30 November 2026, 22:00 (PST)"},
		{"en", "Asia/Kathmandu", "Tue 1 December 2026, 11:45 (UTC+05:45)"},
		{"ja", "UTC", "2026年12月1日(火) 06:00 (UTC)"},
	} {
		zone, err := time.LoadLocation(w.zone)
		if err != nil {
			t.Fatal(err)
		}
		voice := c.In(w.locale)
		if got := voice.Instant(at, zone); got != w.want || voice.Err() != nil {
			t.Errorf("%s in %s: %q (%v), want %q", w.locale, w.zone, got, voice.Err(), w.want)
		}
	}
}

// Every weekday and month has its name in every language.
func TestInstantThroughTheYear(t *testing.T) {
	c := catalog(t)
	for _, locale := range c.Languages() {
		voice := c.In(locale)
		for at := time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() == 2028; at = at.AddDate(0, 0, 1) {
			voice.Instant(at, time.UTC)
		}
		if err := voice.Err(); err != nil {
			t.Error(err)
		}
	}
}

// A message that only English has is an error in another language.
func TestMissingMessageIsAnError(t *testing.T) {
	voice := catalog(t).In("ja")
	voice.Say("only", nil)
	if voice.Err() == nil {
		t.Error("a message missing in Japanese was said without an error")
	}
}
