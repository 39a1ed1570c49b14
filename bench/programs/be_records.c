/* Sums big-endian records of 2, 4 and 8 bytes. */
#include "suite.h"

PROGRAM(1024)
{
	u64 sum = 0;
	for (int i = 0; i < 64; i++) {
		u8 *r = p + i * 16;
		u64 a = (u64)r[0] << 8 | r[1];
		u64 b = (u64)r[2] << 24 | r[3] << 16 | r[4] << 8 | r[5];
		u64 c = 0;
		for (int k = 6; k < 14; k++)
			c = c << 8 | r[k];
		sum += a ^ b ^ c;
	}
	return sum;
}
