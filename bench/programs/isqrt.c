/* Square roots of eight words, bit by bit. */
#include "suite.h"

PROGRAM(64)
{
	u64 sum = 0;
	for (int i = 0; i < 8; i++) {
		u32 x = U32(p, 4 * i), root = 0, bit = 1u << 30;
		for (int k = 0; k < 16; k++) {
			if (x >= root + bit) {
				x -= root + bit;
				root = (root >> 1) + bit;
			} else {
				root >>= 1;
			}
			bit >>= 2;
		}
		sum += root;
	}
	return sum;
}
