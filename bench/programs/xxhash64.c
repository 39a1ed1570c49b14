/* Four lanes of xxHash64 over 1024 bytes. */
#include "suite.h"

PROGRAM(1024)
{
	u64 a = 0x60ea27eeadc0b5d6, b = 0xc2b2ae3d27d4eb4f, c = 0, d = 0x61c8864e7a143579;
	for (int i = 0; i < 32; i++) {
		u8 *r = p + 32 * i;
		a = rotl64(a + U64(r, 0) * 0xc2b2ae3d27d4eb4f, 31) * 0x9e3779b185ebca87;
		b = rotl64(b + U64(r, 8) * 0xc2b2ae3d27d4eb4f, 31) * 0x9e3779b185ebca87;
		c = rotl64(c + U64(r, 16) * 0xc2b2ae3d27d4eb4f, 31) * 0x9e3779b185ebca87;
		d = rotl64(d + U64(r, 24) * 0xc2b2ae3d27d4eb4f, 31) * 0x9e3779b185ebca87;
	}
	return rotl64(a, 1) + rotl64(b, 7) + rotl64(c, 12) + rotl64(d, 18);
}
