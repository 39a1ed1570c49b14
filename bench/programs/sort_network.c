/* Sorts eight numbers by a network. */
#include "suite.h"

PROGRAM(32)
{
	u32 a = U32(p, 0), b = U32(p, 4), c = U32(p, 8), d = U32(p, 12);
	u32 e = U32(p, 16), f = U32(p, 20), g = U32(p, 24), h = U32(p, 28);
	#define SORT(x, y) { u32 t = x < y ? x : y; y = x < y ? y : x; x = t; }
	SORT(a, c) SORT(b, d) SORT(e, g) SORT(f, h)
	SORT(a, e) SORT(b, f) SORT(c, g) SORT(d, h)
	SORT(a, b) SORT(c, d) SORT(e, f) SORT(g, h)
	SORT(c, e) SORT(d, f) SORT(b, e) SORT(d, g)
	SORT(b, c) SORT(d, e) SORT(f, g)
	return (u64)a + 3 * b + 5 * c + 7 * d + 11 * e + 13 * f + 17 * g + 19 * (u64)h;
}
