/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS client and server on two given descriptors, and what is known of such a descriptor. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include "pair.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/un.h>

#ifndef SO_PEERCRED
#define SO_PEERCRED 17
#endif

/* struct ucred, which the headers have only for GNU programs. */
struct credentials {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

static inline struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline int tcp_socket(int port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)))
		die("bind");
	return fd;
}

/* Listening on any port, which is stored, or on the one that stands there. */
static inline int tcp_listener(int *port)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	int fd = tcp_socket(*port);

	if (listen(fd, 16) || getsockname(fd, (struct sockaddr *)&address, &size))
		die("listen");
	*port = ntohs(address.sin_port);
	return fd;
}

static inline int tcp_connected(int port, int from)
{
	struct sockaddr_in address = loopback(port);
	int fd = tcp_socket(from);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die("connect");
	return fd;
}

static inline int accepted(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		die("accept");
	return fd;
}

static inline SSL *new_ssl(SSL_CTX *context, int fd)
{
	SSL *ssl = checked(SSL_new(context), "SSL_new");

	if (fd >= 0 && SSL_set_fd(ssl, fd) != 1)
		die("SSL_set_fd");
	return ssl;
}

static inline struct peer client_on(int fd, enum form form)
{
	SSL *ssl = new_ssl(client_context(), fd);

	if (SSL_connect(ssl) != 1)
		die("SSL_connect");
	return new_peer(ssl, fd, form);
}

static inline struct peer server_on(int fd, enum form form)
{
	SSL *ssl = new_ssl(server_context(), fd);

	if (SSL_accept(ssl) != 1)
		die("SSL_accept");
	return new_peer(ssl, fd, form);
}

static inline void set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK))
		die("fcntl");
}

/* Both ends in this thread. */
static inline struct pair open_pair_on(SSL_CTX *client, SSL_CTX *server, int asking, int answering)
{
	struct pair pair = {.client = new_peer(new_ssl(client, asking), asking, FORM_MIXED),
			    .server = new_peer(new_ssl(server, answering), answering, FORM_MIXED)};

	set_nonblocking(asking, true);
	set_nonblocking(answering, true);
	SSL_set_connect_state(pair.client.ssl);
	SSL_set_accept_state(pair.server.ssl);
	for (int i = 0; i < 10000 && (SSL_in_init(pair.client.ssl) || SSL_in_init(pair.server.ssl));
	     i++) {
		SSL_do_handshake(pair.client.ssl);
		SSL_do_handshake(pair.server.ssl);
	}
	if (SSL_in_init(pair.client.ssl) || SSL_in_init(pair.server.ssl))
		die("handshake");
	set_nonblocking(asking, false);
	set_nonblocking(answering, false);
	return pair;
}

/* The server's side of `exchange` in peer.h. */
static inline void answer_exchange(struct peer *peer, uint64_t seed)
{
	char head[HEAD_SIZE + 1] = {};
	unsigned char *buffer;
	size_t up, down;

	peer_read(peer, (unsigned char *)head, HEAD_SIZE);
	if (sscanf(head, "%zu %zu", &up, &down) != 2)
		die("head");
	buffer = checked(malloc((up > down ? up : down) + 1), "malloc");
	peer_read(peer, buffer, up);
	fill(buffer, down, seed);
	peer_write(peer, buffer, down);
	free(buffer);
}

/* One more line about a session whose socket is of AF_UNIX: the name either end has, the kernel's peer. */
static inline void report_unix(struct peer *peer, int fd)
{
	struct sockaddr_un address;
	struct credentials credentials;
	socklen_t size, credentials_size = sizeof(credentials);
	int (*const names[])(int, struct sockaddr *, socklen_t *) = {getsockname, getpeername};

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &credentials_size))
		die("SO_PEERCRED");
	flockfile(stdout);
	printf("{\"unix\": %d, \"ssl\": %llu, \"peer_pid\": %d, \"names\": [", getpid(),
	       (unsigned long long)(uintptr_t)peer->ssl, credentials.pid);
	for (int i = 0; i < 2; i++) {
		int length;

		memset(&address, 0, sizeof(address));
		size = sizeof(address);
		if (names[i](fd, (struct sockaddr *)&address, &size))
			die("name of a Unix socket");
		length = (int)(size - offsetof(struct sockaddr_un, sun_path));
		if (length > 0 && !address.sun_path[0])
			address.sun_path[0] = '@';
		printf("%s\"%.*s\"", i ? ", " : "", length > 0 ? length : 0, address.sun_path);
	}
	puts("]}");
	fflush(stdout);
	funlockfile(stdout);
}

#endif
