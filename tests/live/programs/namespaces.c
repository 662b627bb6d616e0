/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespaces SIZE: in each of two network namespaces of its own a connection between the same two
 * addresses and ports; both ends of both are in this thread, and their calls alternate.
 */
#define _GNU_SOURCE
#include "sockets.h"
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define SERVER_PORT 24431
#define CLIENT_PORT 24432
#define NAMESPACES 2
#define EXCHANGES 3

static void enter_namespace(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	if (unshare(CLONE_NEWNET))
		die("unshare");
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		die("lo up");
	close(fd);
}

static unsigned long long namespace_number(void)
{
	struct stat status;

	if (stat("/proc/self/ns/net", &status))
		die("stat");
	return status.st_ino;
}

static struct pair in_new_namespace(SSL_CTX *client, SSL_CTX *server, unsigned long long *number)
{
	int port = SERVER_PORT, listener, asking, answering;

	enter_namespace();
	*number = namespace_number();
	listener = tcp_listener(&port);
	asking = tcp_connected(port, CLIENT_PORT);
	answering = accepted(listener);
	close(listener);
	return open_pair_on(client, server, asking, answering);
}

int main(int argc, char **argv)
{
	size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	SSL_CTX *client = client_context(), *server = server_context();
	unsigned char *buffer = checked(malloc(size), "malloc");
	unsigned long long numbers[NAMESPACES];
	struct pair pairs[NAMESPACES];

	ready();
	for (int i = 0; i < NAMESPACES; i++)
		pairs[i] = in_new_namespace(client, server, &numbers[i]);
	for (int i = 0; i < EXCHANGES * NAMESPACES; i++) {
		fill(buffer, size, i);
		pair_exchange(&pairs[i % NAMESPACES], buffer, size);
	}
	for (int i = 0; i < NAMESPACES; i++) {
		report_pair(&pairs[i]);
		printf("{\"netns\": %llu, \"ssl\": [%llu, %llu]}\n", numbers[i],
		       (unsigned long long)(uintptr_t)pairs[i].client.ssl,
		       (unsigned long long)(uintptr_t)pairs[i].server.ssl);
	}
	return 0;
}
