/* Greatest common divisors of eight pairs, by subtraction and shifts. */
#include "suite.h"

PROGRAM(64)
{
	u32 sum = 0;
	for (int i = 0; i < 8; i++) {
		u32 a = U32(p, 8 * i) | 1, b = U32(p, 8 * i + 4) | 1;
		for (int k = 0; k < 40; k++) {
			u32 d = a > b ? a - b : b - a;
			if (!d)
				break;
			b = a > b ? b : a;
			a = d >> 1 | 1;
		}
		sum += b;
	}
	return sum;
}
