package photo

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/draw"
)

const orientationTag = 0x0112

// orientation reads how the camera was held: the Exif tag 1 to 8 of a JPEG, 1 where
// there is none. Only the first directory of the first Exif segment is looked at.
func orientation(document []byte) int {
	for at := 2; at+4 <= len(document); {
		marker, length := document[at+1], int(binary.BigEndian.Uint16(document[at+2:]))
		if document[at] != 0xff || marker == 0xda || length < 2 || at+2+length > len(document) { // the picture itself begins
			return 1
		}
		segment := document[at+4 : at+2+length]
		if tiff, ok := bytes.CutPrefix(segment, []byte("Exif\x00\x00")); ok && marker == 0xe1 {
			return tiffOrientation(tiff)
		}
		at += 2 + length
	}
	return 1
}

func tiffOrientation(tiff []byte) int {
	if len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.BigEndian
	if tiff[0] == 'I' {
		order = binary.LittleEndian
	}
	directory := int64(order.Uint32(tiff[4:]))
	if directory+2 > int64(len(tiff)) {
		return 1
	}
	entries := int64(order.Uint16(tiff[directory:]))
	for n := range entries {
		at := directory + 2 + 12*n
		if at+12 > int64(len(tiff)) {
			return 1
		}
		if order.Uint16(tiff[at:]) == orientationTag {
			if value := int(order.Uint16(tiff[at+8:])); value >= 1 && value <= 8 {
				return value
			}
			return 1
		}
	}
	return 1
}

// upright turns a picture so that it is seen as it was taken.
func upright(picture image.Image, held int) image.Image {
	if held <= 1 {
		return picture
	}
	bounds := picture.Bounds()
	width, height := bounds.Dx(), bounds.Dy()
	source := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(source, source.Bounds(), picture, bounds.Min, draw.Src)
	size := image.Rect(0, 0, width, height)
	if held >= 5 { // a quarter turn
		size = image.Rect(0, 0, height, width)
	}
	turned := image.NewRGBA(size)
	for y := range size.Dy() {
		for x := range size.Dx() {
			fromX, fromY := comesFrom(held, x, y, width, height)
			copy(turned.Pix[turned.PixOffset(x, y):][:4], source.Pix[source.PixOffset(fromX, fromY):][:4])
		}
	}
	return turned
}

// comesFrom is the pixel of a picture of width and height that is seen at x, y.
func comesFrom(held, x, y, width, height int) (int, int) {
	switch held {
	case 2: // mirrored
		return width - 1 - x, y
	case 3: // upside down
		return width - 1 - x, height - 1 - y
	case 4: // mirrored upside down
		return x, height - 1 - y
	case 5: // mirrored, turned left
		return y, x
	case 6: // turned right
		return y, height - 1 - x
	case 7: // mirrored, turned right
		return width - 1 - y, height - 1 - x
	default: // 8: turned left
		return width - 1 - y, x
	}
}
