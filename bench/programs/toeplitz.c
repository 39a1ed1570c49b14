/* The Toeplitz hash of 12 bytes. */
#include "suite.h"

PROGRAM(64)
{
	u32 hash = 0;
	u64 key = __builtin_bswap64(U64(p, 16));
	for (int w = 0; w < 3; w++) {
		u32 x = __builtin_bswap32(U32(p, 4 * w));
		for (int i = 0; i < 32; i++) {
			if (x & 0x80000000)
				hash ^= key >> 32;
			x <<= 1;
			key = key << 1 | (key >> 63 ^ (w & 1));
		}
	}
	return hash;
}
