package access

import "strings"

// The length of booking codes, in digits (K3).
const (
	BookingCodeLength   = 8
	bookingCodeShortest = 6
	bookingCodeLongest  = 16
)

// CheckBookingCode refuses a code that is no 6 to 16 digits (K3), and one that
// people try first: too few different digits, digits that count up or down, a part
// that repeats.
func CheckBookingCode(code string) error {
	if len(code) < bookingCodeShortest || len(code) > bookingCodeLongest || strings.Trim(code, "0123456789") != "" {
		return &Refusal{Code: CodeInvalidCodeFormat, Detail: "A booking code has 6 to 16 digits and nothing else."}
	}
	if weakCode(code) {
		return &Refusal{Code: CodeWeakCode, Detail: "This booking code is too easy to guess. Choose one without a pattern."}
	}
	return nil
}

func weakCode(code string) bool {
	different := map[rune]bool{}
	for _, digit := range code {
		different[digit] = true
	}
	if len(different) < 3 {
		return true
	}
	up, down := true, true
	for i := 1; i < len(code); i++ {
		step := (int(code[i]) - int(code[i-1]) + 10) % 10
		up, down = up && step == 1, down && step == 9
	}
	if up || down {
		return true
	}
	for part := 1; part <= len(code)/2; part++ {
		if len(code)%part == 0 && strings.Repeat(code[:part], len(code)/part) == code {
			return true
		}
	}
	return false
}
