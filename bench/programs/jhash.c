/* Jenkins' hash of 384 bytes, as Linux has it. */
#include "suite.h"

PROGRAM(384)
{
	u32 a = 0xdeadbeef, b = a, c = a;
	for (int i = 0; i < 32; i++) {
		a += U32(p, 12 * i);
		b += U32(p, 12 * i + 4);
		c += U32(p, 12 * i + 8);
		a -= c; a ^= rotl32(c, 4); c += b;
		b -= a; b ^= rotl32(a, 6); a += c;
		c -= b; c ^= rotl32(b, 8); b += a;
		a -= c; a ^= rotl32(c, 16); c += b;
		b -= a; b ^= rotl32(a, 19); a += c;
		c -= b; c ^= rotl32(b, 4); b += a;
	}
	return c;
}
