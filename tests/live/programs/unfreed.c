/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unfreed HOST PORT SIZE REST: a connection whose socket is closed and whose SSL is never freed. So
 * many of the bytes it is answered are handed out by the library only after that, on another line.
 */
#include "peer.h"
#include <time.h>

static void say_closed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("closed %lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
	fflush(stdout);
	wait_for_line();
}

int main(int argc, char **argv)
{
	size_t size = argc > 4 ? strtoul(argv[3], NULL, 10) : 0, rest = strtoul(argv[4], NULL, 10);
	unsigned char *buffer = checked(malloc(size), "malloc");
	char head[HEAD_SIZE + 1];
	struct peer peer;
	int fd;

	ready();
	peer = open_peer(client_context(), argv[1], argv[2], FORM_PLAIN);
	fill_head(head, 0, size);
	peer_write(&peer, (unsigned char *)head, HEAD_SIZE);
	peer_read(&peer, buffer, size - rest);
	if ((size_t)SSL_pending(peer.ssl) != rest)
		die("SSL_pending");
	fd = peer.fd;
	if (!rest)
		report(&peer);
	if (close(fd))
		die("close");
	say_closed();
	if (rest) {
		peer_read(&peer, buffer, rest);
		peer.fd = -1;
		report(&peer);
		wait_for_line();
	}
	return 0;
}
