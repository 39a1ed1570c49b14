/* Fibonacci numbers, modulo 2 to the 64. */
#include "suite.h"

PROGRAM(8)
{
	u64 a = U64(p, 0), b = 1;
	for (int i = 0; i < 500; i++) {
		u64 c = a + b;
		a = b;
		b = c ^ i;
	}
	return b;
}
