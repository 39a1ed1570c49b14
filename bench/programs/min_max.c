/* Least and greatest of 256 numbers. */
#include "suite.h"

PROGRAM(1024)
{
	u32 least = ~0u, most = 0;
	for (int i = 0; i < 256; i++) {
		u32 x = U32(p, 4 * i);
		if (x < least)
			least = x;
		if (x > most)
			most = x;
	}
	return (u64)least << 32 | most;
}
