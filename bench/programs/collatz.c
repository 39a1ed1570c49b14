/* Steps of the Collatz sequence. */
#include "suite.h"

PROGRAM(8)
{
	u64 x = U32(p, 0) | 1, steps = 0;
	for (int i = 0; i < 200; i++) {
		x = x & 1 ? 3 * x + 1 : x >> 1;
		steps += x & 7;
	}
	return steps ^ x;
}
