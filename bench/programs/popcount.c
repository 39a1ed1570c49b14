/* Bits set in 128 words. */
#include "suite.h"

PROGRAM(1024)
{
	u64 sum = 0;
	for (int i = 0; i < 128; i++) {
		u64 x = U64(p, 8 * i);
		x -= x >> 1 & 0x5555555555555555;
		x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
		x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
		sum += x * 0x0101010101010101 >> 56;
	}
	return sum;
}
