/* Counts runs of equal bytes. */
#include "suite.h"

PROGRAM(128)
{
	u32 runs = 1, longest = 1, run = 1;
	for (int i = 1; i < 128; i++) {
		if ((p[i] & 3) == (p[i - 1] & 3)) {
			run++;
		} else {
			if (run > longest)
				longest = run;
			run = 1;
			runs++;
		}
	}
	return runs << 16 | longest;
}
