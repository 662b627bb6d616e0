/* SPDX-License-Identifier: Apache-2.0 */
/*
 * custom_bio SIZE one|halves|pipe: a server and its child, a client, over a BIO of the program's own
 * that has no descriptor:
 *   one     over one TCP socket
 *   halves  over two: of everything one half goes over each
 *   pipe    over pipes; every call talks over two TCP sockets besides, which carry nothing of it
 */
#include "somebody.h"
#include <sys/wait.h>

#define EXCHANGES 4

struct carrier {
	int in, out;	  /* of what is carried, or of its first half */
	int other_fds[2]; /* -1 but for `halves` (both of them the same) and `pipe` */
	bool halves;
	unsigned char buffer[40000];
	size_t held, taken;
};

static void send_all(int fd, const void *data, size_t size)
{
	const char *rest = data;

	while (size) {
		ssize_t done = write(fd, rest, size);

		if (done <= 0)
			die("write");
		rest += done;
		size -= done;
	}
}

static void receive_all(int fd, void *data, size_t size)
{
	char *rest = data;

	while (size) {
		ssize_t done = read(fd, rest, size);

		if (done <= 0)
			die("read");
		rest += done;
		size -= done;
	}
}

static void talk_besides(const struct carrier *carrier)
{
	if (carrier->halves || carrier->other_fds[0] < 0)
		return;
	talk(carrier->other_fds[0]);
	talk(carrier->other_fds[1]);
}

static int bio_write(BIO *bio, const char *data, int size)
{
	struct carrier *carrier = BIO_get_data(bio);
	uint32_t sizes[2] = {carrier->halves ? size / 2 : size};

	talk_besides(carrier);
	sizes[1] = size - sizes[0];
	send_all(carrier->out, sizes, sizeof(sizes));
	send_all(carrier->out, data, sizes[0]);
	if (sizes[1])
		send_all(carrier->other_fds[0], data + sizes[0], sizes[1]);
	BIO_clear_retry_flags(bio);
	return size;
}

static int bio_read(BIO *bio, char *data, int size)
{
	struct carrier *carrier = BIO_get_data(bio);
	uint32_t sizes[2];
	size_t now;

	talk_besides(carrier);
	if (carrier->taken == carrier->held) {
		receive_all(carrier->in, sizes, sizeof(sizes));
		carrier->held = sizes[0] + sizes[1];
		if (carrier->held > sizeof(carrier->buffer))
			die("too much");
		receive_all(carrier->in, carrier->buffer, sizes[0]);
		if (sizes[1])
			receive_all(carrier->other_fds[0], carrier->buffer + sizes[0], sizes[1]);
		carrier->taken = 0;
	}
	now = carrier->held - carrier->taken;
	if (now > (size_t)size)
		now = size;
	memcpy(data, carrier->buffer + carrier->taken, now);
	carrier->taken += now;
	BIO_clear_retry_flags(bio);
	return (int)now;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio, (void)number, (void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static BIO *new_bio(struct carrier *carrier)
{
	BIO_METHOD *method =
		checked(BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "own"), "method");
	BIO *bio;

	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_ctrl(method, bio_control);
	BIO_meth_set_create(method, bio_create);
	bio = checked(BIO_new(method), "BIO_new");
	BIO_set_data(bio, carrier);
	return bio;
}

static void run(struct carrier *carrier, int fd, size_t size, bool serves)
{
	SSL *ssl = new_ssl(serves ? server_context() : client_context(), -1);
	BIO *bio = new_bio(carrier);
	struct peer peer = new_peer(ssl, fd, FORM_MIXED);

	SSL_set_bio(ssl, bio, bio);
	if ((serves ? SSL_accept(ssl) : SSL_connect(ssl)) != 1)
		die("handshake");
	for (int i = 0; i < EXCHANGES; i++) {
		if (serves)
			answer_exchange(&peer, i);
		else
			exchange(&peer, size, size, i + 10);
	}
	report(&peer);
}

int main(int argc, char **argv)
{
	size_t size = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
	bool halves = !strcmp(argv[2], "halves"), pipes = !strcmp(argv[2], "pipe");
	struct carrier carrier = {.halves = halves, .other_fds = {-1, -1}};
	struct somebody somebody = start_somebody();
	int port = 0, listener = tcp_listener(&port), up[2], down[2], status;
	pid_t child;

	if (pipe(up) || pipe(down))
		die("pipe");
	ready();
	child = fork();
	if (child < 0)
		die("fork");
	if (pipes) {
		carrier.in = child ? up[0] : down[0];
		carrier.out = child ? down[1] : up[1];
		for (int i = 0; i < 2; i++)
			carrier.other_fds[i] = tcp_connected(somebody.port, 0);
	} else {
		carrier.in = carrier.out = child ? accepted(listener) : tcp_connected(port, 0);
		if (halves)
			carrier.other_fds[0] = child ? accepted(listener) : tcp_connected(port, 0);
	}
	run(&carrier, strcmp(argv[2], "one") ? -1 : carrier.in, size, child);
	if (!child)
		return 0;
	if (waitpid(child, &status, 0) != child || status)
		die("child");
	kill(somebody.pid, SIGKILL);
	return 0;
}
