/* Double rounds of ChaCha on four columns. */
#include "suite.h"

PROGRAM(64)
{
	u32 a = U32(p, 0), b = U32(p, 4), c = U32(p, 8), d = U32(p, 12);
	u32 e = U32(p, 16), f = U32(p, 20), g = U32(p, 24), h = U32(p, 28);
	for (int i = 0; i < 64; i++) {
		a += b; d = rotl32(d ^ a, 16);
		c += d; b = rotl32(b ^ c, 12);
		a += b; d = rotl32(d ^ a, 8);
		c += d; b = rotl32(b ^ c, 7);
		e += f; h = rotl32(h ^ e, 16);
		g += h; f = rotl32(f ^ g, 12);
		e += f; h = rotl32(h ^ e, 8);
		g += h; f = rotl32(f ^ g, 7);
		b ^= e;
		f ^= a;
	}
	return (u64)(a ^ b ^ c ^ d) << 32 | (e ^ f ^ g ^ h);
}
