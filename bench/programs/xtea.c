/* XTEA of one block, 32 rounds. */
#include "suite.h"

PROGRAM(32)
{
	u32 v0 = U32(p, 0), v1 = U32(p, 4), sum = 0;
	u32 k0 = U32(p, 8), k1 = U32(p, 12), k2 = U32(p, 16), k3 = U32(p, 20);
	for (int i = 0; i < 32; i++) {
		u32 k = sum & 2 ? (sum & 1 ? k3 : k2) : (sum & 1 ? k1 : k0);
		v0 += ((v1 << 4 ^ v1 >> 5) + v1) ^ (sum + k);
		sum += 0x9e3779b9;
		v1 += ((v0 << 4 ^ v0 >> 5) + v0) ^ (sum + k0 + (sum >> 11 & 3));
	}
	return (u64)v0 << 32 | v1;
}
