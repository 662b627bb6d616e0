/* SPDX-License-Identifier: Apache-2.0 */
/* crash HOST PORT SIZE abort|kill: speaks once, then dies inside the next SSL_write. */
#include "peer.h"
#include <signal.h>

static int number;

static long on_bio(BIO *bio, int operation, const char *data, size_t size, int command,
		   long argument, int returned, size_t *done)
{
	(void)bio, (void)data, (void)size, (void)command, (void)argument, (void)done;
	if (operation == BIO_CB_WRITE)
		raise(number);
	return returned;
}

int main(int argc, char **argv)
{
	size_t size = argc > 4 ? strtoul(argv[3], NULL, 10) : 0;
	struct peer peer;

	number = strcmp(argv[4], "kill") ? SIGABRT : SIGKILL;
	ready();
	peer = open_peer(client_context(), argv[1], argv[2], FORM_PLAIN);
	exchange(&peer, size, size, 4);
	report(&peer);
	BIO_set_callback_ex(SSL_get_wbio(peer.ssl), on_bio);
	exchange(&peer, size, size, 5);
	return 0;
}
