package photo_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"latchkey/internal/photo"
)

// corner is a picture whose top left quarter is red, the rest blue.
func corner(width, height int) image.Image {
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			picture.Set(x, y, color.RGBA{B: 200, A: 255})
			if x < width/2 && y < height/2 {
				picture.Set(x, y, color.RGBA{R: 200, A: 255})
			}
		}
	}
	return picture
}

func asJPEG(t testing.TB, picture image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// held is a JPEG with an Exif segment that says how the camera was held, and where
// the photo was taken.
func held(t testing.TB, orientation uint16) []byte {
	t.Helper()
	tiff := []byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01")
	tiff = binary.BigEndian.AppendUint16(tiff, orientation)
	tiff = append(tiff, "\x00\x00\x00\x00\x00\x00GPS 38.7 -9.1"...)
	segment := append([]byte("Exif\x00\x00"), tiff...)
	whole := asJPEG(t, corner(64, 32))
	marker := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(segment)+2))
	return bytes.Join([][]byte{whole[:2], marker, segment, whole[2:]}, nil)
}

func clean(t *testing.T, document []byte) (photo.Photo, image.Image) {
	t.Helper()
	p, err := photo.Clean(t.Context(), bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	picture, err := jpeg.Decode(bytes.NewReader(p.Body))
	if err != nil {
		t.Fatal(err)
	}
	if p.MediaType != "image/jpeg" || picture.Bounds().Dx() != p.Width || picture.Bounds().Dy() != p.Height {
		t.Errorf("%s of %d by %d, but the picture is %v", p.MediaType, p.Width, p.Height, picture.Bounds())
	}
	return p, picture
}

// K7: metadata is gone, and the picture stands as it was taken.
func TestK7MetadataIsGone(t *testing.T) {
	t.Parallel()
	// Where the red quarter is seen, by how the camera was held: left or right, top or bottom.
	want := map[uint16]string{1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left", 5: "top left", 6: "top right", 7: "bottom right", 8: "bottom left"}
	for orientation, place := range want {
		t.Run(fmt.Sprint(orientation), func(t *testing.T) {
			t.Parallel()
			p, picture := clean(t, held(t, orientation))
			if bytes.Contains(p.Body, []byte("GPS")) || bytes.Contains(p.Body, []byte("Exif")) {
				t.Error("the metadata is still there")
			}
			if quarterTurn := orientation >= 5; (p.Width < p.Height) != quarterTurn {
				t.Errorf("%d by %d", p.Width, p.Height)
			}
			at := map[string]image.Point{
				"top left": {p.Width / 4, p.Height / 4}, "top right": {3 * p.Width / 4, p.Height / 4},
				"bottom left": {p.Width / 4, 3 * p.Height / 4}, "bottom right": {3 * p.Width / 4, 3 * p.Height / 4},
			}
			for name, point := range at {
				red, _, _, _ := picture.At(point.X, point.Y).RGBA()
				if (red > 0x8000) != (name == place) {
					t.Errorf("red at %s: %v, want it at %s", name, red > 0x8000, place)
				}
			}
		})
	}
}

// K7: PNG becomes JPEG, and what is transparent becomes white, not black.
func TestK7PNG(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewNRGBA(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	_, picture := clean(t, b.Bytes())
	if r, _, _, _ := picture.At(4, 4).RGBA(); r < 0xf000 {
		t.Error("a transparent pixel became dark")
	}
}

// K7: what is too large, no picture or damaged is refused with what to do, before
// it costs memory.
func TestK7Refusals(t *testing.T) {
	t.Parallel()
	whole := asJPEG(t, corner(64, 32))
	var bomb bytes.Buffer // says 60,000 by 60,000 pixels in its header
	if err := png.Encode(&bomb, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	huge := bomb.Bytes()
	binary.BigEndian.PutUint32(huge[16:], 60_000)
	binary.BigEndian.PutUint32(huge[20:], 60_000)
	cases := map[string]struct {
		document []byte
		want     photo.Code
	}{
		"empty":              {nil, photo.CodeUnsupported},
		"HEIC":               {[]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"), photo.CodeUnsupported},
		"a web page":         {[]byte("<html><script>"), photo.CodeUnsupported},
		"cut off":            {whole[:len(whole)/2], photo.CodeNotReadable},
		"only the beginning": {whole[:4], photo.CodeNotReadable},
		"more than 10 MB":    {append(bytes.Clone(whole), make([]byte, photo.MaxBytes)...), photo.CodeTooLarge},
	}
	for name, c := range cases {
		_, err := photo.Clean(t.Context(), bytes.NewReader(c.document))
		var refused *photo.Error
		if !errors.As(err, &refused) || refused.Code != c.want || !strings.HasSuffix(refused.Detail, ".") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	// The checksum of the header no longer fits, which the decoder may notice first.
	if _, err := photo.Clean(t.Context(), bytes.NewReader(huge)); err == nil {
		t.Error("a picture of 3,600 megapixels was decoded")
	}
	wide := asJPEG(t, image.NewGray(image.Rect(0, 0, 8, 8)))
	at := bytes.Index(wide, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(wide[at+5:], 65_000)
	binary.BigEndian.PutUint16(wide[at+7:], 65_000)
	var refused *photo.Error
	if _, err := photo.Clean(t.Context(), bytes.NewReader(wide)); !errors.As(err, &refused) || refused.Code != photo.CodeTooManyPixels {
		t.Errorf("a JPEG that says 4,225 megapixels: %v", err)
	}
}

// No file makes the reader of metadata fall over.
func FuzzClean(f *testing.F) {
	f.Add(held(f, 6))
	f.Add(held(f, 6)[:40])
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x10Exif\x00\x00MM\x00*\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, document []byte) {
		if len(document) > 1<<12 {
			return
		}
		var refused *photo.Error
		if _, err := photo.Clean(t.Context(), bytes.NewReader(document)); err != nil && !errors.As(err, &refused) {
			t.Errorf("%v", err)
		}
	})
}
