/* An exponential moving average and its deviation. */
#include "suite.h"

PROGRAM(1024)
{
	s64 mean = 0, deviation = 0;
	for (int i = 0; i < 256; i++) {
		s64 x = U32(p, 4 * i) >> 8, error = x - mean;
		mean += error >> 3;
		deviation += ((error < 0 ? -error : error) - deviation) >> 2;
	}
	return mean * 31 + deviation;
}
