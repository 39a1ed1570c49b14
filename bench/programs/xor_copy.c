/* Copies words with a mask, in the packet. */
#include "suite.h"

PROGRAM(256)
{
	u64 sum = 0;
	for (int i = 0; i < 16; i++) {
		u64 x = U64(p, 8 * i) ^ 0x0123456789abcdef;
		U64(p, 128 + 8 * i) = x;
		sum += x;
	}
	return sum;
}
