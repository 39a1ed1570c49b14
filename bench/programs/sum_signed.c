/* Sums signed numbers, the negative ones apart. */
#include "suite.h"

PROGRAM(1024)
{
	s64 positive = 0, negative = 0;
	for (int i = 0; i < 256; i++) {
		s32 x = U32(p, 4 * i);
		if (x < 0)
			negative += x;
		else
			positive += x;
	}
	return positive * 3 + negative;
}
