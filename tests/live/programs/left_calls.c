/* SPDX-License-Identifier: Apache-2.0 */
/*
 * left_calls HOST PORT SIZE LEFT: leaves SSL_read by longjmp LEFT times, each time from a little
 * deeper in the stack than before and before anything was read; then reads from deeper still, twice,
 * and once more from where the first one was left.
 */
#include "peer.h"
#include <setjmp.h>

#define DEEPER 512

static jmp_buf outside;
static int leave;

static long on_bio(BIO *bio, int operation, const char *data, size_t size, int command,
		   long argument, int returned, size_t *done)
{
	(void)bio, (void)data, (void)size, (void)command, (void)argument, (void)done;
	if (operation == BIO_CB_READ && leave) {
		leave = 0;
		longjmp(outside, 1);
	}
	return returned;
}

/* Each level has its own part of the stack. */
static __attribute__((noinline)) void read_below(struct peer *peer, unsigned char *buffer,
						 size_t size, int level)
{
	volatile char room[DEEPER];

	room[0] = 0;
	if (level)
		read_below(peer, buffer, size, level - 1);
	else
		peer_read(peer, buffer, size);
	room[DEEPER - 1] = room[0];
}

static __attribute__((noinline)) void leave_below(struct peer *peer, unsigned char *buffer,
						  int level)
{
	if (setjmp(outside))
		return;
	leave = 1;
	read_below(peer, buffer, 1, level);
	die("the read was not left");
}

int main(int argc, char **argv)
{
	size_t size = argc > 4 ? strtoul(argv[3], NULL, 10) : 0;
	int left = atoi(argv[4]);
	unsigned char *buffer = checked(malloc(size * 3), "malloc");
	char head[HEAD_SIZE + 1];
	struct peer peer;

	ready();
	peer = open_peer(client_context(), argv[1], argv[2], FORM_PLAIN);
	BIO_set_callback_ex(SSL_get_rbio(peer.ssl), on_bio);
	fill_head(head, 0, size * 3);
	peer_write(&peer, (unsigned char *)head, HEAD_SIZE);
	for (int level = 0; level < left; level++)
		leave_below(&peer, buffer, level);
	read_below(&peer, buffer, size, left);
	read_below(&peer, buffer, size, left + 1);
	read_below(&peer, buffer, size, 0);
	report(&peer);
	close_peer(&peer);
	return 0;
}
