/* SPDX-License-Identifier: Apache-2.0 */
/* peek HOST PORT SIZE: looks at the answer with every form of SSL_peek before and between reads. */
#include "peer.h"

static void look(SSL *ssl, size_t size)
{
	unsigned char *seen = checked(malloc(size), "malloc");
	size_t done;

	for (int i = 0; i < 3; i++) {
		if (SSL_peek(ssl, seen, (int)size) <= 0)
			die("SSL_peek");
		if (SSL_peek_ex(ssl, seen, size, &done) != 1)
			die("SSL_peek_ex");
	}
	free(seen);
}

int main(int argc, char **argv)
{
	size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	unsigned char *buffer = checked(malloc(size), "malloc");
	char head[HEAD_SIZE + 1];
	struct peer peer;

	ready();
	peer = open_peer(client_context(), argv[1], argv[2], FORM_MIXED);
	fill_head(head, 0, size);
	peer_write(&peer, (unsigned char *)head, HEAD_SIZE);
	look(peer.ssl, size);
	peer_read(&peer, buffer, size / 2);
	look(peer.ssl, size - size / 2);
	peer_read(&peer, buffer, size - size / 2);
	report(&peer);
	close_peer(&peer);
	return 0;
}
