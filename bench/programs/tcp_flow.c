/* Parses Ethernet, IPv4 and TCP as a flow hash does. */
#include "suite.h"

PROGRAM(64)
{
	u32 kind = p[12] << 8 | p[13];
	u32 ihl = (p[14] & 15) * 4;
	u32 saddr = (u32)p[26] << 24 | p[27] << 16 | p[28] << 8 | p[29];
	u32 daddr = (u32)p[30] << 24 | p[31] << 16 | p[32] << 8 | p[33];
	u32 ports = (u32)p[34] << 24 | p[35] << 16 | p[36] << 8 | p[37];
	u32 h = kind * 31 + ihl;
	if (saddr > daddr) {
		u32 t = saddr;
		saddr = daddr;
		daddr = t;
	}
	h = rotl32(h ^ saddr, 7) * 0x9e3779b1;
	h = rotl32(h ^ daddr, 13) * 0x85ebca6b;
	h = rotl32(h ^ ports, 17) * 0xc2b2ae35;
	return h ^ h >> 16;
}
