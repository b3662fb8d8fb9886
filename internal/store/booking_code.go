package store

import (
	"crypto/rand"
	"math/big"

	"latchkey/internal/access"
	"latchkey/internal/directory"
)

// codeTries is how many random codes are tried for one reservation. With 8 digits
// and a hundred thousand codes taken, four collisions in a row happen once in 10^12.
const codeTries = 8

// errCodeTaken says that a booking code belongs to another live reservation (K3).
var errCodeTaken = &directory.Error{Code: "code_taken", Detail: "Another reservation has this booking code. Choose another one, or leave it out to get one.",
	Fields: []directory.Field{{Location: "body.code", Message: "taken"}}}

// newBookingCode is a random code without a pattern (K3).
func newBookingCode() (string, error) {
	for {
		code := make([]byte, access.BookingCodeLength)
		for i := range code {
			digit, err := rand.Int(rand.Reader, big.NewInt(10))
			if err != nil {
				return "", err
			}
			code[i] = byte('0' + digit.Int64())
		}
		if access.CheckBookingCode(string(code)) == nil {
			return string(code), nil
		}
	}
}

// bookingCodeIndex is what makes a code unique among an account's: keyed, because
// eight digits could otherwise be tried out, and bound to the account.
func (s *Store) bookingCodeIndex(accountID, code string) []byte {
	return s.keys.Index("booking-code", accountID+"/"+code)
}
