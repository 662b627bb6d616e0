/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the target programs share: waiting for the test, a TLS connection to programs/server.py, and
 * the truth. A program prints "ready", waits for a line on standard input (or its end), does its
 * one thing, and reports every session it had as one JSON object a line: who, which socket, and
 * count and SHA-256 of what SSL_read and SSL_write really returned, per direction.
 */
#ifndef PEER_H
#define PEER_H

#include <arpa/inet.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_SIZE 22

enum form { FORM_PLAIN, FORM_EX, FORM_MIXED };

struct side {
	uint64_t count;
	EVP_MD_CTX *sha256;
};

struct peer {
	SSL *ssl;
	int fd; /* -1 for a session over memory */
	enum form form;
	unsigned int calls;
	struct side read;
	struct side written;
};

static inline void die(const char *what)
{
	perror(what);
	ERR_print_errors_fp(stderr);
	exit(99);
}

static inline void *checked(void *pointer, const char *what)
{
	if (!pointer)
		die(what);
	return pointer;
}

static inline void wait_for_line(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
		;
}

static inline void ready(void)
{
	puts("ready");
	fflush(stdout);
	wait_for_line();
}

/* Bytes that differ by place, so that a shifted or repeated chunk has another hash. */
static inline void fill(unsigned char *buffer, size_t size, uint64_t seed)
{
	uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;

	for (size_t i = 0; i < size; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		buffer[i] = state >> 32;
	}
}

static inline struct side new_side(void)
{
	struct side side = {.sha256 = checked(EVP_MD_CTX_new(), "EVP_MD_CTX_new")};

	EVP_DigestInit_ex(side.sha256, EVP_sha256(), NULL);
	return side;
}

static inline void add(struct side *side, const void *data, size_t size)
{
	EVP_DigestUpdate(side->sha256, data, size);
	side->count += size;
}

static inline struct peer new_peer(SSL *ssl, int fd, enum form form)
{
	return (struct peer){
		.ssl = ssl, .fd = fd, .form = form, .read = new_side(), .written = new_side()};
}

static inline SSL_CTX *client_context(void)
{
	SSL_CTX *context = checked(SSL_CTX_new(TLS_client_method()), "SSL_CTX_new");

	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	return context;
}

static inline int connect_socket(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int fd;

	if (getaddrinfo(host, port, &hints, &found))
		die("getaddrinfo");
	fd = socket(found->ai_family, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen))
		die("connect");
	freeaddrinfo(found);
	return fd;
}

static inline struct peer open_peer(SSL_CTX *context, const char *host, const char *port,
				    enum form form)
{
	SSL *ssl = checked(SSL_new(context), "SSL_new");
	int fd = connect_socket(host, port);

	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) != 1)
		die("SSL_connect");
	return new_peer(ssl, fd, form);
}

static inline bool next_is_ex(struct peer *peer)
{
	return peer->form == FORM_EX || (peer->form == FORM_MIXED && peer->calls++ % 2);
}

/* One call for all of it, as long as the library takes it whole. */
static inline void peer_write(struct peer *peer, const unsigned char *data, size_t size)
{
	while (size) {
		size_t done = 0;

		if (next_is_ex(peer)) {
			if (SSL_write_ex(peer->ssl, data, size, &done) != 1)
				die("SSL_write_ex");
		} else {
			int returned = SSL_write(peer->ssl, data, (int)size);

			if (returned <= 0)
				die("SSL_write");
			done = returned;
		}
		add(&peer->written, data, done);
		data += done;
		size -= done;
	}
}

static inline void peer_read(struct peer *peer, unsigned char *data, size_t size)
{
	while (size) {
		size_t done = 0;

		if (next_is_ex(peer)) {
			if (SSL_read_ex(peer->ssl, data, size, &done) != 1)
				die("SSL_read_ex");
		} else {
			int returned = SSL_read(peer->ssl, data, (int)size);

			if (returned <= 0)
				die("SSL_read");
			done = returned;
		}
		add(&peer->read, data, done);
		data += done;
		size -= done;
	}
}

/* What the server reads first: how much comes, how much it is to answer. */
static inline void fill_head(char head[HEAD_SIZE + 1], size_t up, size_t down)
{
	snprintf(head, HEAD_SIZE + 1, "%010zu %010zu\n", up, down);
}

static inline void exchange(struct peer *peer, size_t up, size_t down, uint64_t seed)
{
	size_t size = up > down ? up : down;
	unsigned char *buffer = checked(malloc(size + 1), "malloc");
	char head[HEAD_SIZE + 1];

	fill_head(head, up, down);
	fill(buffer, up, seed);
	peer_write(peer, (unsigned char *)head, HEAD_SIZE);
	peer_write(peer, buffer, up);
	peer_read(peer, buffer, down);
	free(buffer);
}

static inline void report_address(const char *name, const struct sockaddr_storage *address,
				  socklen_t size)
{
	char host[64], port[16];

	if (getnameinfo((const struct sockaddr *)address, size, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		die("getnameinfo");
	printf("\"%s\": [\"%s\", %s], ", name, host, port);
}

static inline void report_side(const char *name, struct side *side, const char *after)
{
	EVP_MD_CTX *copy = checked(EVP_MD_CTX_new(), "EVP_MD_CTX_new");
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int size;

	EVP_MD_CTX_copy_ex(copy, side->sha256);
	EVP_DigestFinal_ex(copy, digest, &size);
	EVP_MD_CTX_free(copy);
	printf("\"%s\": [%llu, \"", name, (unsigned long long)side->count);
	for (unsigned int i = 0; i < size; i++)
		printf("%02x", digest[i]);
	printf("\"]%s", after);
}

static inline void report(struct peer *peer)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);

	flockfile(stdout);
	printf("{\"pid\": %d, \"ssl\": %llu, ", getpid(), (unsigned long long)(uintptr_t)peer->ssl);
	if (peer->fd >= 0) {
		if (getsockname(peer->fd, (struct sockaddr *)&address, &size))
			die("getsockname");
		report_address("local", &address, size);
		size = sizeof(address);
		if (getpeername(peer->fd, (struct sockaddr *)&address, &size))
			die("getpeername");
		report_address("remote", &address, size);
	}
	report_side("read", &peer->read, ", ");
	report_side("written", &peer->written, "}\n");
	fflush(stdout);
	funlockfile(stdout);
}

static inline void close_peer(struct peer *peer)
{
	SSL_shutdown(peer->ssl);
	SSL_free(peer->ssl);
	EVP_MD_CTX_free(peer->read.sha256);
	EVP_MD_CTX_free(peer->written.sha256);
	if (peer->fd >= 0)
		close(peer->fd);
}

#endif
