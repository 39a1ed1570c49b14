/* Writes 16 bytes as hex digits. */
#include "suite.h"

PROGRAM(64)
{
	u64 sum = 0;
	for (int i = 0; i < 16; i++) {
		u8 high = p[i] >> 4, low = p[i] & 15;
		p[32 + 2 * i] = high + (high < 10 ? '0' : 'a' - 10);
		p[33 + 2 * i] = low + (low < 10 ? '0' : 'a' - 10);
		sum += p[i];
	}
	return sum;
}
