/* FNV-1a of 128 bytes. */
#include "suite.h"

PROGRAM(128)
{
	u64 h = 0xcbf29ce484222325;
	for (int i = 0; i < 128; i++)
		h = (h ^ p[i]) * 0x100000001b3;
	return h;
}
