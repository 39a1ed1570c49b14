/* Counts numbers in 16 bins on the stack. */
#include "suite.h"

PROGRAM(1024)
{
	u32 bins[16];
	for (int i = 0; i < 16; i++)
		bins[i] = i;
	for (int i = 0; i < 256; i++)
		bins[U32(p, 4 * i) >> 28]++;
	u64 sum = 0;
	for (int i = 0; i < 16; i++)
		sum = sum * 31 + bins[i];
	return sum;
}
