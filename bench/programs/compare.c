/* Compares two ranges word by word. */
#include "suite.h"

PROGRAM(1024)
{
	u32 equal = 0, less = 0;
	for (int i = 0; i < 64; i++) {
		u64 a = U64(p, 8 * i) & 0xff, b = U64(p, 512 + 8 * i) & 0xff;
		if (a == b)
			equal++;
		else if (a < b)
			less += i;
	}
	return equal << 16 | less;
}
