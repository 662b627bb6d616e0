/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS client and server in one process, joined by memory: sessions without a socket. */
#ifndef PAIR_H
#define PAIR_H

#include "peer.h"
#include <openssl/x509.h>

struct pair {
	struct peer client;
	struct peer server;
};

/* A server context with a certificate made here and now. */
static inline SSL_CTX *server_context(void)
{
	SSL_CTX *context = checked(SSL_CTX_new(TLS_server_method()), "SSL_CTX_new");
	EVP_PKEY *key = checked(EVP_EC_gen("P-256"), "EVP_EC_gen");
	X509 *certificate = checked(X509_new(), "X509_new");

	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
	X509_set_pubkey(certificate, key);
	if (!X509_sign(certificate, key, EVP_sha256()))
		die("X509_sign");
	if (SSL_CTX_use_certificate(context, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey(context, key) != 1)
		die("SSL_CTX_use_certificate");
	X509_free(certificate);
	EVP_PKEY_free(key);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	return context;
}

static inline struct pair new_pair(SSL_CTX *client, SSL_CTX *server)
{
	BIO *up = checked(BIO_new(BIO_s_mem()), "BIO_new");
	BIO *down = checked(BIO_new(BIO_s_mem()), "BIO_new");
	SSL *asks = checked(SSL_new(client), "SSL_new");
	SSL *answers = checked(SSL_new(server), "SSL_new");

	BIO_up_ref(up);
	BIO_up_ref(down);
	SSL_set_bio(asks, down, up);
	SSL_set_bio(answers, up, down);
	SSL_set_connect_state(asks);
	SSL_set_accept_state(answers);
	return (struct pair){.client = new_peer(asks, -1, FORM_MIXED),
			     .server = new_peer(answers, -1, FORM_MIXED)};
}

static inline void finish_handshake(struct pair *pair)
{
	for (int i = 0; i < 8; i++) {
		SSL_do_handshake(pair->client.ssl);
		SSL_do_handshake(pair->server.ssl);
	}
	if (!SSL_is_init_finished(pair->client.ssl) || !SSL_is_init_finished(pair->server.ssl))
		die("handshake over memory");
}

static inline struct pair open_pair(SSL_CTX *client, SSL_CTX *server)
{
	struct pair pair = new_pair(client, server);

	finish_handshake(&pair);
	return pair;
}

/* Both ways; `buffer` has `size` bytes and keeps them. */
static inline void pair_exchange(struct pair *pair, unsigned char *buffer, size_t size)
{
	unsigned char *seen = checked(malloc(size), "malloc");

	peer_write(&pair->client, buffer, size);
	peer_read(&pair->server, seen, size);
	peer_write(&pair->server, buffer, size);
	peer_read(&pair->client, seen, size);
	free(seen);
}

static inline void report_pair(struct pair *pair)
{
	report(&pair->client);
	report(&pair->server);
}

static inline void close_pair(struct pair *pair)
{
	close_peer(&pair->client);
	close_peer(&pair->server);
}

#endif
