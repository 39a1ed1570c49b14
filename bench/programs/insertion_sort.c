/* Sorts 12 numbers on the stack. */
#include "suite.h"

PROGRAM(64)
{
	u32 a[16];
	for (int i = 0; i < 12; i++)
		a[i] = U32(p, 4 * i);
	for (int i = 1; i < 12; i++) {
		for (int k = 0; k < 11; k++) {
			u32 x = a[k], y = a[k + 1];
			a[k] = x < y ? x : y;
			a[k + 1] = x < y ? y : x;
		}
	}
	u64 sum = 0;
	for (int i = 0; i < 12; i++)
		sum = sum * 7 + a[i];
	return sum;
}
