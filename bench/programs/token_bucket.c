/* A token bucket over 128 arrivals. */
#include "suite.h"

PROGRAM(1024)
{
	u64 tokens = 1000, now = 0, passed = 0;
	for (int i = 0; i < 128; i++) {
		u64 gap = U32(p, 8 * i) & 1023, size = U32(p, 8 * i + 4) & 2047;
		now += gap;
		tokens += gap * 3;
		if (tokens > 4000)
			tokens = 4000;
		if (tokens >= size) {
			tokens -= size;
			passed += size;
		}
	}
	return passed << 16 ^ tokens ^ now;
}
