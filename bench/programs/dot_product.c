/* The dot product of two vectors of 32 numbers. */
#include "suite.h"

PROGRAM(256)
{
	u64 sum = 0;
	for (int i = 0; i < 32; i++)
		sum += (u64)U32(p, 4 * i) * U32(p, 128 + 4 * i);
	return sum;
}
