/* A thousand steps of xorshift64*. */
#include "suite.h"

PROGRAM(8)
{
	u64 x = U64(p, 0) | 1, sum = 0;
	for (int i = 0; i < 1000; i++) {
		x ^= x >> 12;
		x ^= x << 25;
		x ^= x >> 27;
		sum += x * 0x2545f4914f6cdd1d;
	}
	return sum;
}
