/* Generations of the Game of Life on rows of a word. */
#include "suite.h"

PROGRAM(64)
{
	u64 rows[8];
	for (int i = 0; i < 8; i++)
		rows[i] = U64(p, 8 * i);
	u64 sum = 0;
	for (int g = 0; g < 16; g++) {
		u64 before = rows[7];
		for (int i = 0; i < 8; i++) {
			u64 here = rows[i], below = rows[(i + 1) & 7];
			u64 l = rotl64(here, 1), r = rotl64(here, 63);
			u64 one = l ^ r ^ before ^ below;
			u64 two = (l & r) | (before & below);
			before = here;
			rows[i] = (one | here) & two & ~(l & r & below);
			sum += rows[i];
		}
	}
	return sum;
}
