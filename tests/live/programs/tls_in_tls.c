/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_in_tls SIZE: a session whose transport is another session, so that one SSL_write runs inside
 * another's. Reports the outer pair (as its BIO saw it) and then the inner one.
 */
#include "pair.h"

static long on_bio(BIO *bio, int operation, const char *data, size_t size, int command,
		   long argument, int returned, size_t *done)
{
	struct peer *outer = (struct peer *)BIO_get_callback_arg(bio);

	(void)size, (void)command, (void)argument;
	if (returned > 0 && done && operation == (BIO_CB_WRITE | BIO_CB_RETURN))
		add(&outer->written, data, *done);
	if (returned > 0 && done && operation == (BIO_CB_READ | BIO_CB_RETURN))
		add(&outer->read, data, *done);
	return returned;
}

static struct peer wrap(SSL_CTX *context, struct peer *outer)
{
	SSL *ssl = checked(SSL_new(context), "SSL_new");
	BIO *bio = checked(BIO_new(BIO_f_ssl()), "BIO_new");

	BIO_set_ssl(bio, outer->ssl, BIO_NOCLOSE);
	BIO_set_callback_ex(bio, on_bio);
	BIO_set_callback_arg(bio, (char *)outer);
	SSL_set_bio(ssl, bio, bio);
	return new_peer(ssl, -1, FORM_MIXED);
}

int main(int argc, char **argv)
{
	size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	SSL_CTX *client = client_context(), *server = server_context();
	struct pair outer = open_pair(client, server), inner;
	unsigned char *buffer = checked(malloc(size), "malloc");

	inner.client = wrap(client, &outer.client);
	inner.server = wrap(server, &outer.server);
	SSL_set_connect_state(inner.client.ssl);
	SSL_set_accept_state(inner.server.ssl);
	ready();
	for (int i = 0; i < 8 && !SSL_is_init_finished(inner.server.ssl); i++) {
		SSL_do_handshake(inner.client.ssl);
		SSL_do_handshake(inner.server.ssl);
	}
	fill(buffer, size, 9);
	pair_exchange(&inner, buffer, size);
	report_pair(&outer);
	report_pair(&inner);
	return 0;
}
