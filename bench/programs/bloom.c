/* Adds to and asks a Bloom filter of 256 bits. */
#include "suite.h"

PROGRAM(256)
{
	u64 filter[4];
	u32 hits = 0;
	filter[0] = filter[1] = filter[2] = filter[3] = 0;
	for (int i = 0; i < 64; i++) {
		u32 h = U32(p, 4 * i) * 0x9e3779b1;
		u32 one = h >> 24, two = h >> 16 & 255;
		if (filter[one >> 6] >> (one & 63) & filter[two >> 6] >> (two & 63) & 1)
			hits++;
		filter[one >> 6] |= 1ull << (one & 63);
		filter[two >> 6] |= 1ull << (two & 63);
	}
	return hits;
}
