/* Speck 64/128 of four blocks. */
#include "suite.h"

PROGRAM(64)
{
	u32 out = 0;
	for (int n = 0; n < 4; n++) {
		u32 x = U32(p, 8 * n), y = U32(p, 8 * n + 4), k = 0x03020100, l = 0x0b0a0908;
		for (int i = 0; i < 27; i++) {
			x = (rotl32(x, 24) + y) ^ k;
			y = rotl32(y, 3) ^ x;
			l = (rotl32(l, 24) + k) ^ i;
			k = rotl32(k, 3) ^ l;
		}
		out ^= x + y;
	}
	return out;
}
