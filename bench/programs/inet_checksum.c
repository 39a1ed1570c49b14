/* The Internet checksum of 1024 bytes. */
#include "suite.h"

PROGRAM(1024)
{
	u64 sum = 0;
	for (int i = 0; i < 512; i++)
		sum += U16(p, 2 * i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}
