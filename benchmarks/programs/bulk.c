// SPDX-License-Identifier: Apache-2.0
/*
 * An upload over loopback TLS in writes of 64 KiB, two processes. Says "ready CLIENT SERVER" (pids);
 * then for every number of bytes on standard input sends one PUT with a body of that size and
 * answers "SECONDS SENT RECEIVED", the bytes as the client's library was given and gave them.
 */
#include "identity.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define WRITE_SIZE 65536

static char buffer[WRITE_SIZE];

static const char answer[] =
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

/* How much of the body is still to come once the head is there; -1 if the client went away. */
static long long read_head(SSL *ssl)
{
	int used = 0;
	char *end = NULL, *field;

	while (!end) {
		int got = SSL_read(ssl, buffer + used, sizeof(buffer) - 1 - used);

		if (got <= 0)
			return -1;
		used += got;
		buffer[used] = '\0';
		end = strstr(buffer, "\r\n\r\n");
	}
	field = strstr(buffer, "Content-Length: ");
	return field ? atoll(field + strlen("Content-Length: ")) - (used - (end + 4 - buffer)) : -1;
}

static void serve_one(SSL *ssl)
{
	long long left = read_head(ssl);

	while (left > 0) {
		int got = SSL_read(ssl, buffer, sizeof(buffer));

		if (got <= 0)
			return;
		left -= got;
	}
	SSL_write(ssl, answer, sizeof(answer) - 1);
}

static void serve(int listener)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = make_key();

	SSL_CTX_use_PrivateKey(context, key);
	SSL_CTX_use_certificate(context, make_certificate(key));
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		SSL *ssl = SSL_new(context);

		SSL_set_fd(ssl, fd);
		if (SSL_accept(ssl) == 1)
			serve_one(ssl);
		SSL_shutdown(ssl);
		SSL_free(ssl);
		close(fd);
	}
}

static void send_one(SSL_CTX *context, const struct sockaddr_in *address, long long size)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	SSL *ssl = SSL_new(context);
	unsigned long long began;
	long long sent, left = size;
	char head[128];
	int got;

	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		die("connect");
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) != 1)
		die("SSL_connect");
	began = now_ns();
	sent = snprintf(head, sizeof(head),
			"PUT /bulk HTTP/1.1\r\nHost: localhost\r\nContent-Length: %lld\r\n\r\n",
			size);
	SSL_write(ssl, head, sent);
	for (; left > 0; left -= WRITE_SIZE) {
		int length = left < WRITE_SIZE ? left : WRITE_SIZE;

		if (SSL_write(ssl, buffer, length) != length)
			die("SSL_write");
		sent += length;
	}
	got = SSL_read(ssl, head, sizeof(head));
	printf("%.6f %lld %d\n", (now_ns() - began) / 1e9, sent, got);
	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
}

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	pid_t parent = getpid(), server;
	SSL_CTX *context;
	char line[32];

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1))
		die("listen");
	getsockname(listener, (struct sockaddr *)&address, &size);
	server = fork();
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			serve(listener);
		_exit(0);
	}
	memset(buffer, 'b', sizeof(buffer));
	context = SSL_CTX_new(TLS_client_method());
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d %d\n", getpid(), server);
	while (fgets(line, sizeof(line), stdin))
		send_one(context, &address, atoll(line));
	return 0;
}
