/* CRC-32 of 64 bytes, bit by bit. */
#include "suite.h"

PROGRAM(64)
{
	u32 crc = ~0u;
	for (int i = 0; i < 64; i++) {
		crc ^= p[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (0xedb88320 & -(crc & 1));
	}
	return ~crc;
}
