/* A 4 by 4 matrix times vectors. */
#include "suite.h"

PROGRAM(576)
{
	u32 sum = 0;
	for (int v = 0; v < 32; v++) {
		u8 *r = p + 64 + 16 * v;
		for (int i = 0; i < 4; i++) {
			u32 x = 0;
			for (int k = 0; k < 4; k++)
				x += U32(p, 16 * i + 4 * k) * U32(r, 4 * k);
			sum = rotl32(sum, 5) + x;
		}
	}
	return sum;
}
