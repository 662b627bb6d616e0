/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turns HOST PORT SIZE THREADS CONNECTIONS first|late: every thread uses every connection, one at a
 * time: each exchange is written by one thread and its answer read by the next.
 */
#include "peer.h"
#include <pthread.h>

#define TURNS 6

static struct peer *peers;
static int threads, connections;
static size_t size;
static unsigned char *buffer;
static int turn;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void take_turn(void)
{
	struct peer *peer = &peers[turn / 2 % connections];
	char head[HEAD_SIZE + 1];

	if (turn % 2) {
		peer_read(peer, buffer, size);
		return;
	}
	fill_head(head, size, size);
	fill(buffer, size, turn);
	peer_write(peer, (unsigned char *)head, HEAD_SIZE);
	peer_write(peer, buffer, size);
}

static void *run(void *number)
{
	int last = TURNS * threads * connections * 2;

	pthread_mutex_lock(&lock);
	while (turn < last) {
		if (turn % threads == (int)(intptr_t)number) {
			take_turn();
			turn++;
			pthread_cond_broadcast(&changed);
		} else {
			pthread_cond_wait(&changed, &lock);
		}
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

int main(int argc, char **argv)
{
	bool late = argc > 6 && !strcmp(argv[6], "late");
	SSL_CTX *context = client_context();
	pthread_t *ids;

	size = strtoul(argv[3], NULL, 10);
	threads = atoi(argv[4]);
	connections = atoi(argv[5]);
	ids = checked(calloc(threads, sizeof(*ids)), "calloc");
	peers = checked(calloc(connections, sizeof(*peers)), "calloc");
	buffer = checked(malloc(size), "malloc");
	if (!late)
		ready();
	for (int i = 0; i < connections; i++) {
		peers[i] = open_peer(context, argv[1], argv[2], FORM_MIXED);
		if (!late)
			continue;
		exchange(&peers[i], size, size, i);
		peers[i] = new_peer(peers[i].ssl, peers[i].fd, FORM_MIXED);
	}
	if (late)
		ready();
	for (intptr_t i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, run, (void *)i))
			die("pthread_create");
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	for (int i = 0; i < connections; i++)
		report(&peers[i]);
	return 0;
}
