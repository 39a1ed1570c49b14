/* Sums the decimal digits of 16 numbers. */
#include "suite.h"

PROGRAM(64)
{
	u32 sum = 0;
	for (int i = 0; i < 16; i++) {
		u32 x = U32(p, 4 * i);
		for (int k = 0; k < 10; k++) {
			sum += x % 10 * (k + 1);
			x /= 10;
		}
	}
	return sum;
}
