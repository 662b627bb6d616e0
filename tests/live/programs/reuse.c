/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reuse HOST PORT SIZE free|clear: connections one after another at one SSL pointer, because the
 * allocator gives the same memory again, or because SSL_clear makes the object new.
 */
#include "peer.h"

#define CONNECTIONS 3

int main(int argc, char **argv)
{
	size_t size = argc > 4 ? strtoul(argv[3], NULL, 10) : 0;
	bool clear = !strcmp(argv[4], "clear");
	SSL_CTX *context = client_context();
	SSL *ssl = NULL;

	ready();
	for (int i = 0; i < CONNECTIONS; i++) {
		struct peer peer;

		if (!clear || !ssl)
			ssl = checked(SSL_new(context), "SSL_new");
		peer = new_peer(ssl, connect_socket(argv[1], argv[2]), FORM_PLAIN);
		SSL_set_fd(ssl, peer.fd);
		if (SSL_connect(ssl) != 1)
			die("SSL_connect");
		exchange(&peer, size, size, i);
		report(&peer);
		if (!clear) {
			close_peer(&peer);
			continue;
		}
		SSL_shutdown(ssl);
		if (SSL_clear(ssl) != 1)
			die("SSL_clear");
		close(peer.fd);
	}
	return 0;
}
