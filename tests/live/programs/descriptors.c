/* SPDX-License-Identifier: Apache-2.0 */
/*
 * descriptors HOST PORT SIZE dup|dup2|reuse|pending first|late: two connections to the server, the
 * second on the number that the first one's descriptor had.
 *   dup      the library has a copy of the descriptor; the original is closed, its number reused
 *   dup2     the library has a number that was another connection's before
 *   reuse    the first is closed, its SSL is not freed
 *   pending  the same, and what its SSL still holds is read after the second has spoken
 * With `late` the first is connected and has spoken before "ready"; what is reported came behind it.
 */
#include "sockets.h"

#define EXCHANGES 3

static const char *host, *port;
static size_t size;

static struct peer opened(int fd)
{
	return client_on(fd, FORM_MIXED);
}

static void speak(struct peer *peer, uint64_t seed)
{
	for (int i = 0; i < EXCHANGES; i++)
		exchange(peer, size, size, seed + i);
}

static int connected_as(int number)
{
	int fd = connect_socket(host, port);

	if (fd != number)
		die("the number was not reused");
	return fd;
}

/* Reports while the descriptor is still open. */
static void leave(struct peer *peer)
{
	report(peer);
	close(peer->fd);
}

/* The answer but for its last bytes, which stay in the library. */
static void speak_leaving(struct peer *peer, size_t left)
{
	unsigned char *buffer = checked(malloc(size), "malloc");
	char head[HEAD_SIZE + 1];

	fill_head(head, size, size);
	fill(buffer, size, 77);
	peer_write(peer, (unsigned char *)head, HEAD_SIZE);
	peer_write(peer, buffer, size);
	peer_read(peer, buffer, size - left);
	if ((size_t)SSL_pending(peer->ssl) != left)
		die("nothing is pending");
	free(buffer);
}

static int first_descriptor(const char *mode, int *number)
{
	int fd = connect_socket(host, port), copy;

	*number = fd;
	if (!strcmp(mode, "dup")) {
		copy = dup(fd);
		close(fd);
		return copy;
	}
	if (strcmp(mode, "dup2"))
		return fd;
	copy = connect_socket(host, port);
	if (dup2(fd, copy) != copy)
		die("dup2");
	close(fd);
	return copy;
}

int main(int argc, char **argv)
{
	const char *mode = argv[4];
	bool late = argc > 5 && !strcmp(argv[5], "late");
	unsigned char left[10];
	struct peer first, second;
	int number;

	host = argv[1];
	port = argv[2];
	size = strtoul(argv[3], NULL, 10);
	if (!late)
		ready();
	first = opened(first_descriptor(mode, &number));
	if (late) {
		speak(&first, 0);
		first = new_peer(first.ssl, first.fd, FORM_MIXED);
		ready();
	}
	if (mode[0] == 'd') {
		second = opened(connected_as(number));
		speak(&second, 100);
		speak(&first, 10);
		speak(&second, 110);
		report(&first);
		leave(&second);
		return 0;
	}
	speak(&first, 10);
	if (!strcmp(mode, "reuse")) {
		leave(&first);
		second = opened(connected_as(number));
		speak(&second, 100);
		leave(&second);
		return 0;
	}
	speak_leaving(&first, sizeof(left));
	/* Its address is asked for while there is one; its last bytes are reported behind it. */
	dup2(first.fd, 200);
	close(first.fd);
	second = opened(connected_as(number));
	speak(&second, 100);
	peer_read(&first, left, sizeof(left));
	first.fd = 200;
	report(&first);
	leave(&second);
	return 0;
}
