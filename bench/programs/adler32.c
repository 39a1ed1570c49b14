/* Adler-32 of 128 bytes. */
#include "suite.h"

PROGRAM(128)
{
	u32 a = 1, b = 0;
	for (int i = 0; i < 128; i++) {
		a += p[i];
		b += a;
	}
	return (b % 65521) << 16 | a % 65521;
}
