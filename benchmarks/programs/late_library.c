// SPDX-License-Identifier: Apache-2.0
/*
 * late_library LIBSSL TAG: maps a libssl nobody has seen and at once writes through it, each write
 * saying when it was made: "mark=TAG:NANOSECONDS". Answers with the time just before the mapping.
 * The capture's first mark tells how long it took to be attached.
 */
#include "identity.h"
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

#define MARKS_FOR_NS 300000000ULL
#define MARK_EVERY_US 100

static void *library;

static void *symbol(const char *name)
{
	void *found = dlsym(library, name);

	if (!found)
		die(name);
	return found;
}

#define CALL(name) ((__typeof__(&name))symbol(#name))

static SSL *connect_ends(EVP_PKEY *key, X509 *certificate, BIO **wire)
{
	SSL_CTX *serving = CALL(SSL_CTX_new)(CALL(TLS_server_method)());
	SSL_CTX *asking = CALL(SSL_CTX_new)(CALL(TLS_client_method)());
	SSL *client = CALL(SSL_new)(asking), *server;
	BIO *near;

	CALL(SSL_CTX_use_PrivateKey)(serving, key);
	CALL(SSL_CTX_use_certificate)(serving, certificate);
	server = CALL(SSL_new)(serving);
	BIO_new_bio_pair(&near, 1 << 16, wire, 1 << 16);
	CALL(SSL_set_bio)(client, near, near);
	CALL(SSL_set_bio)(server, *wire, *wire);
	CALL(SSL_set_connect_state)(client);
	CALL(SSL_set_accept_state)(server);
	while (!CALL(SSL_is_init_finished)(client) || !CALL(SSL_is_init_finished)(server)) {
		CALL(SSL_do_handshake)(client);
		CALL(SSL_do_handshake)(server);
	}
	return client;
}

int main(int argc, char **argv)
{
	EVP_PKEY *key = make_key();
	X509 *certificate = make_certificate(key);
	unsigned long long mapped, until;
	static char sink[1 << 16];
	char mark[128];
	BIO *wire;
	SSL *client;
	__typeof__(&SSL_write) write_mark;

	if (argc != 3)
		return 2;
	mapped = now_ns();
	library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	if (!library)
		die(dlerror());
	client = connect_ends(key, certificate, &wire);
	write_mark = CALL(SSL_write);
	until = now_ns() + MARKS_FOR_NS;
	while (now_ns() < until) {
		int length = snprintf(mark, sizeof(mark), "mark=%s:%llu\n", argv[2], now_ns());

		if (write_mark(client, mark, length) != length)
			die("SSL_write");
		BIO_read(wire, sink, sizeof(sink));
		usleep(MARK_EVERY_US);
	}
	printf("%llu\n", mapped);
	return 0;
}
