/* An interpreter of one-byte instructions: a dense switch. */
#include "suite.h"

PROGRAM(128)
{
	u64 acc = 1, other = 7;
	for (int i = 0; i < 128; i++) {
		switch (p[i] & 15) {
		case 0: acc += other; break;
		case 1: acc -= other; break;
		case 2: acc ^= other; break;
		case 3: other += 3; break;
		case 4: acc *= 5; break;
		case 5: acc >>= 3; break;
		case 6: other ^= acc; break;
		case 7: acc = rotl64(acc, 13); break;
		case 8: other = other * 33 + 1; break;
		case 9: acc |= 0x80; break;
		case 10: acc &= 0xffffffffff; break;
		case 11: other -= acc; break;
		case 12: acc = ~acc; break;
		case 13: other >>= 1; break;
		case 14: acc += 0x1234; break;
		default: acc ^= acc << 7; break;
		}
	}
	return acc ^ other;
}
