/* MurmurHash3 (32 bits) of 128 bytes. */
#include "suite.h"

PROGRAM(128)
{
	u32 h = 42;
	for (int i = 0; i < 32; i++) {
		u32 k = U32(p, 4 * i) * 0xcc9e2d51;
		k = rotl32(k, 15) * 0x1b873593;
		h = rotl32(h ^ k, 13) * 5 + 0xe6546b64;
	}
	h ^= 128;
	h = (h ^ h >> 16) * 0x85ebca6b;
	h = (h ^ h >> 13) * 0xc2b2ae35;
	return h ^ h >> 16;
}
