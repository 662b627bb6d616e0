/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_callbacks SIZE socket|memory some|all: a server and its child, a client, whose callbacks talk
 * to somebody else over a TCP connection while a TLS call runs: those for the key log, new sessions
 * and ALPN, with `all` also the one for messages, which every call of the library makes. The
 * library has the socket's descriptor, or memory that the program fills and empties outside of it.
 */
#include "somebody.h"
#include <sys/wait.h>

#define EXCHANGES 4

static bool over_memory, for_all;
static int somebody_fd, talks;

static void talk_to_somebody(void)
{
	talk(somebody_fd);
	talks++;
}

static void on_keylog(const SSL *ssl, const char *line)
{
	(void)ssl, (void)line;
	talk_to_somebody();
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl, (void)session;
	talk_to_somebody();
	return 0;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *length,
		   const unsigned char *offered, unsigned int size, void *argument)
{
	(void)ssl, (void)size, (void)argument;
	talk_to_somebody();
	*out = offered + 1;
	*length = *offered;
	return SSL_TLSEXT_ERR_OK;
}

static void on_message(int written, int version, int type, const void *data, size_t size, SSL *ssl,
		       void *argument)
{
	(void)written, (void)version, (void)type, (void)data, (void)size, (void)ssl, (void)argument;
	talk_to_somebody();
}

static void set_callbacks(SSL_CTX *context, int port)
{
	somebody_fd = tcp_connected(port, 0);
	SSL_CTX_set_keylog_callback(context, on_keylog);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_BOTH);
	SSL_CTX_sess_set_new_cb(context, on_session);
	SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
	SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\4some", 5);
	SSL_CTX_set_num_tickets(context, 2);
	if (for_all)
		SSL_CTX_set_msg_callback(context, on_message);
}

static void flush(struct peer *peer)
{
	char data[20000];
	int size;

	while (over_memory && (size = BIO_read(SSL_get_wbio(peer->ssl), data, sizeof(data))) > 0)
		if (send(peer->fd, data, size, 0) != size)
			die("send");
}

static void more(struct peer *peer, int returned)
{
	char data[20000];
	ssize_t size;

	if (!over_memory || SSL_get_error(peer->ssl, returned) != SSL_ERROR_WANT_READ)
		die("TLS");
	size = recv(peer->fd, data, sizeof(data), 0);
	if (size <= 0 || BIO_write(SSL_get_rbio(peer->ssl), data, (int)size) != size)
		die("recv");
}

static void shake_hands(struct peer *peer)
{
	int returned;

	while ((returned = SSL_do_handshake(peer->ssl)) != 1) {
		flush(peer);
		more(peer, returned);
	}
	flush(peer);
}

static void say(struct peer *peer, unsigned char *data, size_t size)
{
	peer_write(peer, data, size);
	flush(peer);
}

static void hear(struct peer *peer, unsigned char *data, size_t size)
{
	int returned;

	while (size) {
		returned = SSL_read(peer->ssl, data, (int)size);
		flush(peer);
		if (returned <= 0) {
			more(peer, returned);
			continue;
		}
		add(&peer->read, data, returned);
		data += returned;
		size -= returned;
	}
}

static void run(SSL_CTX *context, int fd, size_t size, bool serves)
{
	unsigned char *buffer = checked(malloc(size), "malloc");
	struct peer peer = new_peer(new_ssl(context, over_memory ? -1 : fd), fd, FORM_PLAIN);

	if (over_memory)
		SSL_set_bio(peer.ssl, checked(BIO_new(BIO_s_mem()), "BIO_new"),
			    checked(BIO_new(BIO_s_mem()), "BIO_new"));
	if (serves)
		SSL_set_accept_state(peer.ssl);
	else
		SSL_set_connect_state(peer.ssl);
	shake_hands(&peer);
	for (int i = 0; i < EXCHANGES * 2; i++) {
		fill(buffer, size, i);
		if (serves == i % 2)
			say(&peer, buffer, size);
		else
			hear(&peer, buffer, size);
	}
	if (talks < (for_all ? EXCHANGES * 4 : 3))
		die("the callbacks were not called");
	report(&peer);
}

int main(int argc, char **argv)
{
	size_t size = argc > 3 ? strtoul(argv[1], NULL, 10) : 0;
	struct somebody somebody = start_somebody();
	SSL_CTX *context;
	int port = 0, listener = tcp_listener(&port), status;
	pid_t child;

	over_memory = !strcmp(argv[2], "memory");
	for_all = !strcmp(argv[3], "all");
	ready();
	child = fork();
	if (child < 0)
		die("fork");
	context = child ? server_context() : client_context();
	set_callbacks(context, somebody.port);
	run(context, child ? accepted(listener) : tcp_connected(port, 0), size, child);
	if (!child)
		return 0;
	if (waitpid(child, &status, 0) != child || status)
		die("child");
	kill(somebody.pid, SIGKILL);
	return 0;
}
