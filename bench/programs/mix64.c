/* Finalisers of splitmix64 over 128 words. */
#include "suite.h"

PROGRAM(1024)
{
	u64 sum = 0;
	for (int i = 0; i < 128; i++) {
		u64 z = U64(p, 8 * i) + 0x9e3779b97f4a7c15;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		sum ^= z ^ z >> 31;
	}
	return sum;
}
