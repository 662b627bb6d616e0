/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nonblocking HOST PORT UP DOWN whole|partial|moving: a non-blocking socket with a small send buffer, so
 * that calls fail with WANT_WRITE and WANT_READ and are tried again: with the same buffer, with
 * partial writes, or with the same bytes in another place. The last line counts the retries.
 */
#include "peer.h"
#include <fcntl.h>
#include <poll.h>

#define SEND_BUFFER 4096

static unsigned int want_read, want_write, partial_writes;

static void wait_for(struct peer *peer, int returned)
{
	struct pollfd socket = {.fd = peer->fd};

	switch (SSL_get_error(peer->ssl, returned)) {
	case SSL_ERROR_WANT_READ:
		want_read++;
		socket.events = POLLIN;
		break;
	case SSL_ERROR_WANT_WRITE:
		want_write++;
		socket.events = POLLOUT;
		break;
	default:
		die("non-blocking call");
	}
	if (poll(&socket, 1, -1) < 0)
		die("poll");
}

static unsigned char *another_place(const unsigned char *data, size_t size)
{
	return memcpy(checked(malloc(size), "malloc"), data, size);
}

static void write_all(struct peer *peer, const unsigned char *data, size_t size, bool moving)
{
	while (size) {
		unsigned char *place = moving ? another_place(data, size) : NULL;
		int returned = SSL_write(peer->ssl, place ? place : data, (int)size);

		free(place);
		if (returned <= 0) {
			wait_for(peer, returned);
			continue;
		}
		partial_writes += (size_t)returned < size;
		add(&peer->written, data, returned);
		data += returned;
		size -= returned;
	}
}

static void read_all(struct peer *peer, unsigned char *data, size_t size)
{
	while (size) {
		int returned = SSL_read(peer->ssl, data, (int)size);

		if (returned <= 0) {
			wait_for(peer, returned);
			continue;
		}
		add(&peer->read, data, returned);
		data += returned;
		size -= returned;
	}
}

int main(int argc, char **argv)
{
	size_t up = argc > 5 ? strtoul(argv[3], NULL, 10) : 0, down = strtoul(argv[4], NULL, 10);
	unsigned char *buffer = checked(malloc(up > down ? up : down), "malloc");
	bool moving = !strcmp(argv[5], "moving");
	int send_buffer = SEND_BUFFER, returned;
	SSL_CTX *context = client_context();
	char head[HEAD_SIZE + 1];
	struct peer peer;

	if (!strcmp(argv[5], "partial"))
		SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE);
	if (moving)
		SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	ready();
	peer = new_peer(checked(SSL_new(context), "SSL_new"), connect_socket(argv[1], argv[2]),
			FORM_PLAIN);
	setsockopt(peer.fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
	if (fcntl(peer.fd, F_SETFL, O_NONBLOCK))
		die("fcntl");
	SSL_set_fd(peer.ssl, peer.fd);
	while ((returned = SSL_connect(peer.ssl)) != 1)
		wait_for(&peer, returned);
	fill_head(head, up, down);
	fill(buffer, up, 3);
	write_all(&peer, (unsigned char *)head, HEAD_SIZE, false);
	write_all(&peer, buffer, up, moving);
	read_all(&peer, buffer, down);
	report(&peer);
	printf("{\"want_read\": %u, \"want_write\": %u, \"partial_writes\": %u}\n", want_read,
	       want_write, partial_writes);
	close_peer(&peer);
	return 0;
}
