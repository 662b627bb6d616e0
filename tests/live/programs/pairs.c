/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pairs PAIRS EXCHANGES SIZE THREADS: many sessions of one process, all alive at the same time, each
 * with bytes of its own; every thread has its share of them and goes round.
 */
#include "pair.h"
#include <pthread.h>

static int exchanges, count, thread_count;
static size_t size;
static struct pair *pairs;
static pthread_barrier_t together;

static void *run(void *number)
{
	int first = (int)(uintptr_t)number;
	unsigned char *buffer = checked(malloc(size), "malloc");

	pthread_barrier_wait(&together);
	for (int round = 0; round < exchanges; round++)
		for (int i = first; i < count; i += thread_count) {
			fill(buffer, size, (uint64_t)i * 1000003 + round);
			pair_exchange(&pairs[i], buffer, size);
		}
	free(buffer);
	return NULL;
}

int main(int argc, char **argv)
{
	SSL_CTX *client = client_context(), *server = server_context();
	pthread_t *threads;

	count = argc > 4 ? atoi(argv[1]) : 0;
	exchanges = atoi(argv[2]);
	size = strtoul(argv[3], NULL, 10);
	thread_count = atoi(argv[4]);
	SSL_CTX_set_mode(client, SSL_MODE_RELEASE_BUFFERS);
	pairs = checked(calloc(count, sizeof(*pairs)), "calloc");
	threads = checked(calloc(thread_count, sizeof(*threads)), "calloc");
	for (int i = 0; i < count; i++)
		pairs[i] = open_pair(client, server);
	ready();
	pthread_barrier_init(&together, NULL, thread_count);
	for (uintptr_t i = 0; i < (uintptr_t)thread_count; i++)
		if (pthread_create(&threads[i], NULL, run, (void *)i))
			die("pthread_create");
	for (int i = 0; i < thread_count; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < count; i++)
		report_pair(&pairs[i]);
	for (int i = 0; i < count; i++)
		close_pair(&pairs[i]);
	return 0;
}
