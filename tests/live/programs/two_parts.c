/* SPDX-License-Identifier: Apache-2.0 */
/*
 * two_parts HOST PORT SIZE CALLS: a small exchange, "first"; after the next line on standard input
 * SIZE bytes upwards in CALLS calls, "spoken"; after one more line a small exchange again, all on
 * the same connection.
 */
#include "peer.h"

#define SMALL 100

int main(int argc, char **argv)
{
	size_t size = argc > 4 ? strtoul(argv[3], NULL, 10) : 0, calls = strtoul(argv[4], NULL, 10);
	unsigned char *buffer = checked(malloc(size), "malloc");
	char head[HEAD_SIZE + 1];
	struct peer peer;

	ready();
	peer = open_peer(client_context(), argv[1], argv[2], FORM_PLAIN);
	exchange(&peer, SMALL, SMALL, 6);
	puts("first");
	fflush(stdout);
	wait_for_line();
	fill_head(head, size, 0);
	fill(buffer, size, 7);
	peer_write(&peer, (unsigned char *)head, HEAD_SIZE);
	for (size_t i = 0; i < calls; i++)
		peer_write(&peer, buffer + i * (size / calls), size / calls);
	puts("spoken");
	fflush(stdout);
	wait_for_line();
	exchange(&peer, SMALL, SMALL, 8);
	report(&peer);
	close_peer(&peer);
	return 0;
}
