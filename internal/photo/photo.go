// Package photo cleans pictures that strangers upload (BEHAVIOUR.md K7): what comes
// out is the pixels, encoded anew, and nothing else of what came in. Metadata, such
// as where a photo was taken, is gone, and so is whatever was hidden in the file.
//
// JPEG and PNG are read. The size of the picture is known before it is decoded, and
// one at a time is decoded in a process, so that nobody fills its memory.
package photo

import (
	"bytes"
	"context"
	"image"
	"image/draw"
	"image/jpeg"
	_ "image/png" // registers the format
	"io"
)

// The limits of a photo.
const (
	MaxBytes  = 10 << 20
	MaxPixels = 40_000_000
	quality   = 85
)

// Photo is a clean picture.
type Photo struct {
	MediaType     string // image/jpeg
	Width, Height int
	Body          []byte
}

// Code says for machines what is wrong with a photo.
type Code string

// The codes of [Error].
const (
	CodeTooLarge      Code = "photo_too_large"
	CodeTooManyPixels Code = "photo_too_many_pixels"
	CodeUnsupported   Code = "photo_unsupported"
	CodeNotReadable   Code = "photo_not_readable"
)

// Error says what is wrong with a photo and what to do about it.
type Error struct {
	Code   Code
	Detail string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Detail }

var (
	errTooLarge      = &Error{CodeTooLarge, "The photo is larger than 10 MB. Choose a smaller one, or lower the quality."}
	errTooManyPixels = &Error{CodeTooManyPixels, "The photo has more than 40 megapixels. Choose a smaller one."}
	errUnsupported   = &Error{CodeUnsupported, "The photo is neither JPEG nor PNG. Choose JPEG; phones that take HEIC convert it when asked for JPEG."}
	errNotReadable   = &Error{CodeNotReadable, "The photo cannot be read: the file is damaged or incomplete. Take or choose it again."}
)

// decoding holds the one decoder of this process: 40 megapixels take 160 MB.
var decoding = make(chan struct{}, 1)

// Clean reads a JPEG or PNG of at most [MaxBytes] and [MaxPixels], turns it as its
// camera was held, and writes its pixels as a JPEG without anything else. What is
// wrong with the picture is an [*Error].
func Clean(ctx context.Context, r io.Reader) (Photo, error) {
	document, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return Photo{}, err
	}
	if len(document) > MaxBytes {
		return Photo{}, errTooLarge
	}
	config, format, err := image.DecodeConfig(bytes.NewReader(document))
	if err != nil {
		if looksLike(document) {
			return Photo{}, errNotReadable
		}
		return Photo{}, errUnsupported
	}
	if config.Width < 1 || config.Height < 1 || config.Width > MaxPixels/config.Height {
		return Photo{}, errTooManyPixels
	}
	select {
	case decoding <- struct{}{}:
		defer func() { <-decoding }()
	case <-ctx.Done():
		return Photo{}, ctx.Err()
	}
	picture, _, err := image.Decode(bytes.NewReader(document))
	if err != nil {
		return Photo{}, errNotReadable
	}
	turned := picture
	if format == "jpeg" {
		turned = upright(picture, orientation(document))
	}
	var clean bytes.Buffer
	if err := jpeg.Encode(&clean, onWhite(turned), &jpeg.Options{Quality: quality}); err != nil {
		return Photo{}, err
	}
	size := turned.Bounds().Size()
	return Photo{MediaType: "image/jpeg", Width: size.X, Height: size.Y, Body: clean.Bytes()}, nil
}

// looksLike tells a damaged JPEG or PNG from another kind of file.
func looksLike(document []byte) bool {
	return bytes.HasPrefix(document, []byte{0xff, 0xd8, 0xff}) || bytes.HasPrefix(document, []byte("\x89PNG"))
}

// onWhite gives transparent pixels a background, since JPEG has none.
func onWhite(picture image.Image) image.Image {
	if o, ok := picture.(interface{ Opaque() bool }); ok && o.Opaque() {
		return picture
	}
	solid := image.NewRGBA(picture.Bounds())
	draw.Draw(solid, solid.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(solid, solid.Bounds(), picture, picture.Bounds().Min, draw.Over)
	return solid
}
