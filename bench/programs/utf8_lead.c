/* Counts the lead bytes of UTF-8 sequences. */
#include "suite.h"

PROGRAM(128)
{
	u32 one = 0, two = 0, three = 0, four = 0;
	for (int i = 0; i < 128; i++) {
		u8 c = p[i];
		if (c < 0x80)
			one++;
		else if (c >= 0xf0)
			four++;
		else if (c >= 0xe0)
			three++;
		else if (c >= 0xc0)
			two++;
	}
	return one | two << 8 | three << 16 | four << 24;
}
