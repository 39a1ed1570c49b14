/* SipHash-2-4 of 256 bytes. */
#include "suite.h"

inline void round(u64 *v0, u64 *v1, u64 *v2, u64 *v3)
{
	*v0 += *v1;
	*v1 = rotl64(*v1, 13) ^ *v0;
	*v0 = rotl64(*v0, 32);
	*v2 += *v3;
	*v3 = rotl64(*v3, 16) ^ *v2;
	*v0 += *v3;
	*v3 = rotl64(*v3, 21) ^ *v0;
	*v2 += *v1;
	*v1 = rotl64(*v1, 17) ^ *v2;
	*v2 = rotl64(*v2, 32);
}

PROGRAM(256)
{
	u64 v0 = 0x736f6d6570736575, v1 = 0x646f72616e646f6d;
	u64 v2 = 0x6c7967656e657261, v3 = 0x7465646279746573;
	for (int i = 0; i < 32; i++) {
		u64 m = U64(p, 8 * i);
		v3 ^= m;
		round(&v0, &v1, &v2, &v3);
		round(&v0, &v1, &v2, &v3);
		v0 ^= m;
	}
	v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		round(&v0, &v1, &v2, &v3);
	return v0 ^ v1 ^ v2 ^ v3;
}
