/* Copies words with a mask, in the packet. */
#include "suite.h"

PROGRAM(1024)
{
	u64 sum = 0;
	for (int i = 0; i < 64; i++) {
		u64 x = U64(p, 8 * i) ^ 0x0123456789abcdef;
		U64(p, 512 + 8 * i) = x;
		sum += x;
	}
	return sum;
}
