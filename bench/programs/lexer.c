/* A state machine over bytes: words, numbers, blanks. */
#include "suite.h"

PROGRAM(128)
{
	u32 state = 0, words = 0, numbers = 0;
	for (int i = 0; i < 128; i++) {
		u8 c = p[i] & 0x7f;
		switch (state) {
		case 0:
			if (c >= 'a') {
				state = 1;
				words++;
			} else if (c >= '0' && c <= '9') {
				state = 2;
				numbers++;
			}
			break;
		case 1:
			if (c < '0')
				state = 0;
			break;
		default:
			if (c < '0' || c > '9')
				state = 0;
		}
	}
	return words << 16 | numbers;
}
