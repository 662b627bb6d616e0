// SPDX-License-Identifier: Apache-2.0
/*
 * What one SSL_write of 64 bytes costs: over a memory BIO pair, or with the argument `socket` over a
 * pair of sockets. Says where SSL_write is as "ready PATH OFFSET"; then for every line on standard
 * input runs CALLS calls and answers with the nanoseconds of one, the median of the batches.
 */
#include "batches.h"
#include <openssl/ssl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WRITE_SIZE 64

static SSL *client, *server;
static BIO *wire;
static int sockets[2] = {-1, -1};

static void connect_ends(int over_sockets)
{
	SSL_CTX *serving = SSL_CTX_new(TLS_server_method());
	SSL_CTX *asking = SSL_CTX_new(TLS_client_method());
	EVP_PKEY *key = make_key();
	BIO *near;

	SSL_CTX_use_PrivateKey(serving, key);
	SSL_CTX_use_certificate(serving, make_certificate(key));
	client = SSL_new(asking);
	server = SSL_new(serving);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	if (over_sockets) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets))
			die("socketpair");
		SSL_set_fd(client, sockets[0]);
		SSL_set_fd(server, sockets[1]);
	} else {
		BIO_new_bio_pair(&near, 1 << 16, &wire, 1 << 16);
		SSL_set_bio(client, near, near);
		SSL_set_bio(server, wire, wire);
	}
	while (!SSL_is_init_finished(client) || !SSL_is_init_finished(server)) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
}

/* Emptied below TLS, by what a program with such sessions uses itself. */
static void write_once(void)
{
	static char sink[1 << 16], data[WRITE_SIZE];

	if (SSL_write(client, data, sizeof(data)) != sizeof(data))
		die("SSL_write");
	if (wire)
		BIO_read(wire, sink, sizeof(sink));
	else if (read(sockets[1], sink, sizeof(sink)) <= 0)
		die("read");
}

/* Where the kernel wants its probe: the file and the offset in it. */
static void say_where(uintptr_t address)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4608];

	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long start, end, offset;
		char path[4096] = "";

		if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %4095s", &start, &end, &offset, path) ==
			    4 &&
		    address >= start && address < end)
			printf("ready %s %lu\n", path, (unsigned long)(address - start + offset));
	}
	if (maps)
		fclose(maps);
}

int main(int argc, char **argv)
{
	char line[16];

	setvbuf(stdout, NULL, _IOLBF, 0);
	connect_ends(argc > 1 && !strcmp(argv[1], "socket"));
	say_where((uintptr_t)&SSL_write);
	while (fgets(line, sizeof(line), stdin))
		printf("%.1f\n", median_call(write_once));
	return 0;
}
