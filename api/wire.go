package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/internal/store"
)

// Duration is a length of time on the wire: a Go-style string such as "336h",
// "90s" or "1h30m".
type Duration time.Duration

// String writes the duration in the largest unit that needs no other: "72h",
// "90m", "90s". Below a millisecond's precision it writes what Go writes.
func (d Duration) String() string {
	units := []struct {
		length time.Duration
		suffix string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}}
	if d == 0 {
		return "0s"
	}
	for _, unit := range units {
		if time.Duration(d)%unit.length == 0 {
			return strconv.FormatInt(int64(time.Duration(d)/unit.length), 10) + unit.suffix
		}
	}
	return time.Duration(d).String()
}

// MarshalText writes the form of [Duration.String].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 336h, 90m or 45s", text)
	}
	*d = Duration(parsed)
	return nil
}

// Schema describes the duration in OpenAPI, and refuses other strings before
// they reach UnmarshalText.
func (Duration) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type:               huma.TypeString,
		Pattern:            `^(0|([0-9]{1,9}(\.[0-9]{1,9})?(h|ms|us|m|s))+)$`,
		PatternDescription: "a duration such as 336h, 90m or 45s",
		Examples:           []any{"336h"},
		MaxLength:          new(40),
	}
}

// Optional is a field of a PATCH: absent leaves the value as it is.
// An explicit null is refused, since "no value" is not one of its values.
type Optional[T any] struct {
	Sent  bool
	null  bool
	Value T
}

// UnmarshalJSON notes that the field was there.
func (o *Optional[T]) UnmarshalJSON(b []byte) error {
	o.Sent = true
	if o.null = bytes.Equal(b, []byte("null")); o.null {
		return nil
	}
	return json.Unmarshal(b, &o.Value)
}

// Schema is the schema of the value.
func (o Optional[T]) Schema(r huma.Registry) *huma.Schema { return valueSchema[T](r) }

// Resolve refuses null.
func (o *Optional[T]) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	if !o.null {
		return nil
	}
	return []error{&huma.ErrorDetail{Location: at.String(), Message: "null is not a value here; leave the field out to keep what it is"}}
}

// set copies the value to where it belongs if the field was sent.
func (o Optional[T]) set(to *T) {
	if o.Sent {
		*to = o.Value
	}
}

// OmittableNullable is a field of a PATCH whose value can be taken away: absent
// leaves it as it is, null removes it.
type OmittableNullable[T any] struct {
	Sent  bool
	Null  bool
	Value T
}

// UnmarshalJSON tells absent, null and a value apart.
func (o *OmittableNullable[T]) UnmarshalJSON(b []byte) error {
	o.Sent = true
	if o.Null = bytes.Equal(b, []byte("null")); o.Null {
		return nil
	}
	return json.Unmarshal(b, &o.Value)
}

// Schema is the schema of the value, or null.
func (o OmittableNullable[T]) Schema(r huma.Registry) *huma.Schema {
	s := valueSchema[T](r)
	s.Nullable = true
	return s
}

// set copies the value to where it belongs if the field was sent; null is the
// zero value there.
func (o OmittableNullable[T]) set(to *T) {
	if o.Sent {
		*to = o.Value
	}
}

// valueSchema gives a copy, since huma writes the field's own tags into it.
func valueSchema[T any](r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), true, "")
	return &s
}

// instant gives a pointer to an instant in UTC, and nil for "none", which the
// wire shows as null.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// orNull gives a pointer to the text, and nil for none.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// List is one page of a listing, newest first unless the call says otherwise.
type List[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor" doc:"Pass it as cursor to get the next page; null on the last one"`
}

// listOf renders a page of domain values.
func listOf[D, W any](values []D, next string, render func(D) W) *output[List[W]] {
	items := make([]W, 0, len(values))
	for _, value := range values {
		items = append(items, render(value))
	}
	return &output[List[W]]{Body: List[W]{Items: items, NextCursor: orNull(next)}}
}

// Paging are the parameters of every listing.
type Paging struct {
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"200" doc:"How many items at most"`
	Cursor string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before"`
}

// output is an answer with a body.
type output[T any] struct {
	Body T
}

// entity is an answer with one item that can be changed, and its revision.
type entity[T any] struct {
	ETag string `header:"ETag" doc:"The item's revision, for If-Match"`
	Body T
}

func entityOf[T any](revision int64, body T) *entity[T] {
	return &entity[T]{ETag: etag(revision), Body: body}
}

func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// Matching is the condition of a PATCH or DELETE.
type Matching struct {
	IfMatch string `header:"If-Match" doc:"Carry it out only if the item's ETag is still this one" maxLength:"100"`
}

// revision is the revision the caller has seen, or 0 if any will do. What is not
// an ETag of ours matches nothing.
func (m Matching) revision() (int64, error) {
	if m.IfMatch == "" || m.IfMatch == "*" {
		return 0, nil
	}
	bare, quoted := strings.CutPrefix(m.IfMatch, `"`)
	bare, closed := strings.CutSuffix(bare, `"`)
	revision, err := strconv.ParseInt(bare, 10, 64)
	if !quoted || !closed || err != nil || revision < 1 {
		return 0, preconditionFailed()
	}
	return revision, nil
}

// ByID is the path of one item.
type ByID struct {
	ID string `path:"id" maxLength:"64"`
}

// page is the page as the store counts it.
func (p Paging) page() store.Page { return store.Page{Limit: p.Limit, Cursor: p.Cursor} }

// InProperty is a listing that can be narrowed to one property.
type InProperty struct {
	Paging
	PropertyID string `query:"property_id" maxLength:"64" doc:"Only those of this property"`
}
