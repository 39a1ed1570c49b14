/* Reverses the bits of 64 words. */
#include "suite.h"

PROGRAM(512)
{
	u64 sum = 0;
	for (int i = 0; i < 64; i++) {
		u64 x = U64(p, 8 * i);
		x = (x >> 1 & 0x5555555555555555) | (x & 0x5555555555555555) << 1;
		x = (x >> 2 & 0x3333333333333333) | (x & 0x3333333333333333) << 2;
		x = (x >> 4 & 0x0f0f0f0f0f0f0f0f) | (x & 0x0f0f0f0f0f0f0f0f) << 4;
		sum = sum * 3 + __builtin_bswap64(x);
	}
	return sum;
}
