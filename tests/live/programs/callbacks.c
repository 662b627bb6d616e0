/* SPDX-License-Identifier: Apache-2.0 */
/*
 * callbacks HOST PORT SIZE before|after|both datagram|stream|streams first|later: while a TLS call
 * runs, its callbacks talk to somebody else (a child of this process), as those do that log or ask a
 * cache: before or after the call used its own socket; by datagram, over one TCP connection, or each
 * time over a new one; from the first call, or once the connection has been used without.
 */
#include "peer.h"
#include <signal.h>
#include <sys/prctl.h>

#define EXCHANGES 5
#define WORDS 64

static bool before, after, datagram, always_new;
static int their_socket, our_socket = -1;

static int bound(int kind)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, kind, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		die("bind");
	return fd;
}

static int connected(void)
{
	int fd = bound(datagram ? SOCK_DGRAM : SOCK_STREAM);
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	if (getsockname(their_socket, (struct sockaddr *)&address, &size))
		die("getsockname");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die("connect");
	return fd;
}

static void answer(int fd, struct sockaddr *from)
{
	socklen_t size = sizeof(*from);
	char words[WORDS];

	while (recvfrom(fd, words, WORDS, MSG_WAITALL, from, &size) == WORDS)
		sendto(fd, words, WORDS, 0, datagram ? from : NULL, datagram ? size : 0);
}

static void be_somebody_else(pid_t parent)
{
	struct sockaddr from;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	while (datagram)
		answer(their_socket, &from);
	for (;;) {
		int fd = accept(their_socket, NULL, NULL);

		answer(fd, &from);
		close(fd);
	}
}

static void talk_to_somebody_else(void)
{
	char words[WORDS] = "words of no TLS connection";

	if (our_socket < 0)
		our_socket = connected();
	if (send(our_socket, words, WORDS, 0) != WORDS ||
	    recv(our_socket, words, WORDS, MSG_WAITALL) != WORDS)
		die("talk");
	if (!always_new)
		return;
	close(our_socket);
	our_socket = -1;
}

static long on_bio(BIO *bio, int operation, const char *data, size_t size, int command,
		   long argument, int returned, size_t *done)
{
	(void)bio, (void)data, (void)size, (void)command, (void)argument, (void)done;
	if (before && (operation == BIO_CB_READ || operation == BIO_CB_WRITE))
		talk_to_somebody_else();
	if (after && (operation == (BIO_CB_READ | BIO_CB_RETURN) ||
		      operation == (BIO_CB_WRITE | BIO_CB_RETURN)))
		talk_to_somebody_else();
	return returned;
}

int main(int argc, char **argv)
{
	size_t size = argc > 6 ? strtoul(argv[3], NULL, 10) : 0;
	pid_t child, self = getpid();
	struct peer peer;

	before = strcmp(argv[4], "after");
	after = strcmp(argv[4], "before");
	datagram = !strcmp(argv[5], "datagram");
	always_new = !strcmp(argv[5], "streams");
	their_socket = bound(datagram ? SOCK_DGRAM : SOCK_STREAM);
	if (!datagram && listen(their_socket, 8))
		die("listen");
	child = fork();
	if (!child)
		be_somebody_else(self);
	ready();
	peer = open_peer(client_context(), argv[1], argv[2], FORM_MIXED);
	for (int i = 0; i < EXCHANGES; i++) {
		if (i || !strcmp(argv[6], "first"))
			BIO_set_callback_ex(SSL_get_rbio(peer.ssl), on_bio);
		exchange(&peer, size, size, i);
	}
	report(&peer);
	close_peer(&peer);
	kill(child, SIGKILL);
	return 0;
}
