// SPDX-License-Identifier: Apache-2.0
/*
 * What one send and one recv of 64 bytes over a pair of sockets cost, in a process that may make TLS
 * sessions. For every line on standard input: "session" makes one (that is never used) and answers
 * with 0; anything else runs CALLS pairs of calls and answers with the nanoseconds of one pair, the
 * median of the batches.
 */
#include "batches.h"
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#define MESSAGE_SIZE 64

static int sockets[2];

static void send_and_receive(void)
{
	static char message[MESSAGE_SIZE];

	if (send(sockets[0], message, sizeof(message), 0) != sizeof(message) ||
	    recv(sockets[1], message, sizeof(message), 0) != sizeof(message))
		die("socket");
}

int main(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	char line[16];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		die("socketpair");
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "session\n")) {
			printf("%.1f\n", median_call(send_and_receive));
		} else {
			if (!SSL_new(context))
				die("SSL_new");
			puts("0");
		}
	}
	return 0;
}
