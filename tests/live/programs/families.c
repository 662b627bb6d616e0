/* SPDX-License-Identifier: Apache-2.0 */
/*
 * families tcp|unix|abstract|pair SIZE first|late [NAME]: this process serves its child over a
 * socket of that kind, the descriptor being the library's. With `late` they are connected and have
 * spoken before "ready"; what is reported is what came behind it.
 */
#include "sockets.h"
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

#define EXCHANGES 3

static int unix_listener(const char *name, bool abstract, struct sockaddr_un *address,
			 socklen_t *size)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	strncpy(address->sun_path + abstract, name, sizeof(address->sun_path) - 2);
	*size = offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1;
	if (fd < 0 || bind(fd, (struct sockaddr *)address, *size) || listen(fd, 4))
		die("listen");
	return fd;
}

static struct peer forget(struct peer peer)
{
	return new_peer(peer.ssl, peer.fd, FORM_MIXED);
}

static void finish(struct peer *peer, int fd, bool tcp)
{
	peer->fd = tcp ? fd : -1;
	report(peer);
	if (!tcp)
		report_unix(peer, fd);
}

/* Not from within the library: a tool that comes now would miss where that call began. */
static void answer(struct peer *peer, int fd, uint64_t seed)
{
	struct pollfd waiting = {.fd = fd, .events = POLLIN};

	if (poll(&waiting, 1, -1) != 1)
		die("poll");
	answer_exchange(peer, seed);
}

static void serve(int fd, bool late, bool tcp)
{
	struct peer peer = server_on(fd, FORM_MIXED);

	if (late) {
		answer(&peer, fd, 0);
		peer = forget(peer);
	}
	for (int i = 0; i < EXCHANGES; i++)
		answer(&peer, fd, i + 1);
	finish(&peer, fd, tcp);
}

static void ask(int fd, size_t size, bool late, bool tcp, int said, int gate)
{
	struct peer peer;
	char byte;

	if (late) {
		peer = client_on(fd, FORM_MIXED);
		exchange(&peer, size, size, 0);
		peer = forget(peer);
	}
	if (write(said, "r", 1) != 1 || read(gate, &byte, 1) != 1)
		die("gate");
	if (!late)
		peer = client_on(fd, FORM_MIXED);
	for (int i = 0; i < EXCHANGES; i++)
		exchange(&peer, size, size, i + 10);
	finish(&peer, fd, tcp);
}

struct ends {
	int listener;
	int port;
	int both[2];
	struct sockaddr_un address;
	socklen_t size;
};

static int asking_end(const struct ends *ends, const char *kind)
{
	int fd;

	if (!strcmp(kind, "pair"))
		return ends->both[0];
	if (!strcmp(kind, "tcp"))
		return tcp_connected(ends->port, 0);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&ends->address, ends->size))
		die("connect");
	return fd;
}

/* The parent opens the gate once the test says so, while it is itself in SSL_accept or behind it. */
static void *keep_gate(void *descriptors)
{
	int *gate = descriptors;
	char byte;

	if (read(gate[0], &byte, 1) != 1)
		die("gate");
	ready();
	if (write(gate[1], &byte, 1) != 1)
		die("gate");
	return NULL;
}

int main(int argc, char **argv)
{
	const char *kind = argv[1];
	size_t size = argc > 3 ? strtoul(argv[2], NULL, 10) : 0;
	bool late = !strcmp(argv[3], "late"), tcp = !strcmp(kind, "tcp");
	int said[2], opened[2], status;
	struct ends ends = {};
	pthread_t keeper;
	pid_t child;

	if (tcp)
		ends.listener = tcp_listener(&ends.port);
	else if (strcmp(kind, "pair"))
		ends.listener = unix_listener(argv[4], !strcmp(kind, "abstract"), &ends.address,
					      &ends.size);
	else if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends.both))
		die("socketpair");
	if (pipe(said) || pipe(opened))
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		ask(asking_end(&ends, kind), size, late, tcp, said[1], opened[0]);
		return 0;
	}
	if (pthread_create(&keeper, NULL, keep_gate, (int[]){said[0], opened[1]}))
		die("pthread_create");
	serve(strcmp(kind, "pair") ? accepted(ends.listener) : ends.both[1], late, tcp);
	pthread_join(keeper, NULL);
	if (waitpid(child, &status, 0) != child || status)
		die("child");
	return 0;
}
