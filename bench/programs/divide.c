/* Quotients and rests by numbers from the packet. */
#include "suite.h"

PROGRAM(512)
{
	u64 sum = 0;
	for (int i = 0; i < 64; i++) {
		u32 a = U32(p, 8 * i), b = U32(p, 8 * i + 4) >> 12 | 1;
		sum += a / b + (a % b << 3);
	}
	return sum;
}
