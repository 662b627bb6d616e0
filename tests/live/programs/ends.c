/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ends free|twice|clear|leave|exec SIZE: sessions over memory, and the ways in which one ends. After
 * each step it prints the step's name and the monotonic clock in nanoseconds, and waits for a line.
 *   free   SSL_free
 *   twice  SSL_free of one with another reference, which goes on; then the last SSL_free
 *   clear  SSL_clear, then another handshake and other bytes on the same object
 *   leave  exits without freeing anything
 *   exec   becomes a new program under the same pid, which has sessions of its own
 */
#include "pair.h"
#include <time.h>

static void step(const char *name)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("%s %lld\n", name, now.tv_sec * 1000000000ll + now.tv_nsec);
	fflush(stdout);
	wait_for_line();
}

static void speak(struct pair *pair, size_t size, uint64_t seed)
{
	unsigned char *buffer = checked(malloc(size), "malloc");

	fill(buffer, size, seed);
	pair_exchange(pair, buffer, size);
	free(buffer);
}

static void free_both(struct pair *pair)
{
	SSL_free(pair->client.ssl);
	SSL_free(pair->server.ssl);
}

static void clear_both(struct pair *pair)
{
	char rest[4096];

	if (SSL_clear(pair->client.ssl) != 1 || SSL_clear(pair->server.ssl) != 1)
		die("SSL_clear");
	while (BIO_read(SSL_get_rbio(pair->client.ssl), rest, sizeof(rest)) > 0 ||
	       BIO_read(SSL_get_wbio(pair->client.ssl), rest, sizeof(rest)) > 0)
		;
	pair->client = new_peer(pair->client.ssl, -1, FORM_MIXED);
	pair->server = new_peer(pair->server.ssl, -1, FORM_MIXED);
}

static void run(const char *mode, const char *self, const char *words)
{
	size_t size = strtoul(words, NULL, 10);
	struct pair pair = open_pair(client_context(), server_context());

	speak(&pair, size, 1);
	if (!strcmp(mode, "twice")) {
		SSL_up_ref(pair.client.ssl);
		SSL_up_ref(pair.server.ssl);
		free_both(&pair);
		step("freed");
		speak(&pair, size, 2);
	}
	report_pair(&pair);
	if (!strcmp(mode, "leave"))
		step("leaving"), _exit(0);
	if (!strcmp(mode, "exec")) {
		execl(self, self, "executed", words, NULL);
		die("exec");
	}
	if (!strcmp(mode, "clear")) {
		clear_both(&pair);
		step("cleared");
		finish_handshake(&pair);
		speak(&pair, size, 3);
		report_pair(&pair);
	}
	free_both(&pair);
	step("done");
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	if (strcmp(argv[1], "executed"))
		ready();
	else
		step("executed");
	run(argv[1], argv[0], argv[2]);
	return 0;
}
