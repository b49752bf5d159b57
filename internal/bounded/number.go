package bounded

import (
	"fmt"

	"go.starlark.net/starlark"
)

// MaxDigits is the maximum number of digits of an integer. Reading, writing and
// multiplying longer ones takes much longer in one step, and no pipeline needs them.
const MaxDigits = 20_000

// maxBits is about the number of bits of so many digits.
const maxBits = MaxDigits * 10 / 3

// Number returns an error if an integer is too long.
func (m *Meter) Number(i starlark.Int) error {
	if _, small := i.Int64(); small || m == nil || i.BigInt().BitLen() <= maxBits {
		return nil
	}
	return tooLong()
}

// Digits returns an error if an integer with n digits is too long, and charges for
// parsing it: each digit takes longer than the one before.
func (m *Meter) Digits(n int) error {
	if m == nil {
		return nil
	}
	if n > MaxDigits {
		return tooLong()
	}
	return m.Charge(uint64(n) + uint64(n)*uint64(n)/2000)
}

func tooLong() error {
	return &Error{
		Msg:  fmt.Sprintf("the number would be larger than the limit of %d digits", MaxDigits),
		Hint: "is a number larger than it was meant to be?",
	}
}
