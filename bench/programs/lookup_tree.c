/* Walks eight times down a tree of comparisons. */
#include "suite.h"

PROGRAM(64)
{
	u32 sum = 0;
	for (int i = 0; i < 16; i++) {
		u32 x = U32(p, 4 * i) >> 20;
		u32 low = 0, high = 4096;
		for (int k = 0; k < 12; k++) {
			u32 middle = (low + high) >> 1;
			if (x * x >> 12 < middle)
				high = middle;
			else
				low = middle;
		}
		sum += low;
	}
	return sum;
}
