/* A power modulo a prime. */
#include "suite.h"

PROGRAM(16)
{
	u64 base = U32(p, 0) % 2147483647, exponent = U32(p, 4), result = 1;
	for (int i = 0; i < 32; i++) {
		if (exponent & 1)
			result = result * base % 2147483647;
		base = base * base % 2147483647;
		exponent >>= 1;
	}
	return result;
}
