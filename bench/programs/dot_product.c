/* The dot product of two vectors of 128 numbers. */
#include "suite.h"

PROGRAM(1024)
{
	u64 sum = 0;
	for (int i = 0; i < 128; i++)
		sum += (u64)U32(p, 4 * i) * U32(p, 512 + 4 * i);
	return sum;
}
