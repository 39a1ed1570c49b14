/* MurmurHash3 (32 bits) of 512 bytes. */
#include "suite.h"

PROGRAM(512)
{
	u32 h = 42;
	for (int i = 0; i < 128; i++) {
		u32 k = U32(p, 4 * i) * 0xcc9e2d51;
		k = rotl32(k, 15) * 0x1b873593;
		h = rotl32(h ^ k, 13) * 5 + 0xe6546b64;
	}
	h ^= 512;
	h = (h ^ h >> 16) * 0x85ebca6b;
	h = (h ^ h >> 13) * 0xc2b2ae35;
	return h ^ h >> 16;
}
