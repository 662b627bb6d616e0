/* SPDX-License-Identifier: Apache-2.0 */
/*
 * threads HOST PORT THREADS EXCHANGES SIZE: threads sharing one context, each with a connection of
 * its own; all are connected before the first speaks.
 */
#include "peer.h"
#include <pthread.h>

static const char *host, *port;
static int exchanges;
static size_t size;
static SSL_CTX *context;
static pthread_barrier_t connected;

static void *run(void *number)
{
	struct peer peer = open_peer(context, host, port, FORM_MIXED);

	pthread_barrier_wait(&connected);
	for (int i = 0; i < exchanges; i++)
		exchange(&peer, size, size, (uintptr_t)number * 1000 + i);
	report(&peer);
	close_peer(&peer);
	return NULL;
}

int main(int argc, char **argv)
{
	int count = argc > 5 ? atoi(argv[3]) : 0;
	pthread_t *threads = checked(calloc(count, sizeof(*threads)), "calloc");

	host = argv[1];
	port = argv[2];
	exchanges = atoi(argv[4]);
	size = strtoul(argv[5], NULL, 10);
	ready();
	context = client_context();
	pthread_barrier_init(&connected, NULL, count);
	for (uintptr_t i = 0; i < (uintptr_t)count; i++)
		if (pthread_create(&threads[i], NULL, run, (void *)i))
			die("pthread_create");
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
