/* Counts bits by clearing the lowest. */
#include "suite.h"

PROGRAM(64)
{
	u32 count = 0;
	for (int i = 0; i < 8; i++) {
		u64 x = U64(p, 8 * i);
		for (int k = 0; k < 64 && x; k++) {
			x &= x - 1;
			count++;
		}
	}
	return count;
}
