/* Primes below 512, a bit each. */
#include "suite.h"

PROGRAM(16)
{
	u64 bits[8];
	for (int i = 0; i < 8; i++)
		bits[i] = U64(p, 0) & 1;
	for (int n = 2; n < 23; n++)
		for (int k = n * n; k < 512; k += n)
			bits[k >> 6 & 7] |= 1ull << (k & 63);
	u64 sum = 0;
	for (int i = 0; i < 8; i++)
		sum = sum * 3 + bits[i];
	return sum;
}
