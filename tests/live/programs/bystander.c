/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bystander MARKER: somebody else. Speaks about every millisecond from the first line on standard
 * input to the next, says "spoke" after the first time, and how often at the end.
 */
#include "pair.h"
#include <poll.h>

#define PAUSE_MS 1

int main(int argc, char **argv)
{
	struct pair pair = open_pair(client_context(), server_context());
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	unsigned char *marker = (unsigned char *)argv[argc - 1];
	unsigned int spoken = 0;

	ready();
	do {
		pair_exchange(&pair, marker, strlen((char *)marker));
		if (!spoken++) {
			puts("spoke");
			fflush(stdout);
		}
	} while (!poll(&input, 1, PAUSE_MS));
	report_pair(&pair);
	close_pair(&pair);
	return 0;
}
