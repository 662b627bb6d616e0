// SPDX-License-Identifier: Apache-2.0
/*
 * paced PORT CONNECTIONS RATE SECONDS: HTTPS requests at a fixed rate over keep-alive connections,
 * one thread each. The schedule is absolute, so what falls behind is sent late, not left out.
 * Answers "REQUESTS SECONDS P50_US P99_US", times from when a request was due.
 */
#include "identity.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct worker {
	pthread_t thread;
	SSL *ssl;
	unsigned long long first_ns, step_ns, end_ns;
	int requests, room;
	unsigned int *took_us;
};

static const char request[] =
	"GET /1k.txt HTTP/1.1\r\nHost: localhost\r\nUser-Agent: paced\r\n\r\n";

static SSL *open_connection(SSL_CTX *context, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	SSL *ssl = SSL_new(context);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die("connect");
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) != 1)
		die("SSL_connect");
	return ssl;
}

/* One request and its whole answer; only answers with a Content-Length are expected. */
static void exchange(SSL *ssl)
{
	char answer[8192];
	int used = 0, want = 0;

	if (SSL_write(ssl, request, sizeof(request) - 1) <= 0)
		die("SSL_write");
	while (!want || used < want) {
		int got = SSL_read(ssl, answer + used, sizeof(answer) - 1 - used);
		char *end, *field;

		if (got <= 0)
			die("SSL_read");
		used += got;
		answer[used] = '\0';
		end = strstr(answer, "\r\n\r\n");
		field = strstr(answer, "Content-Length: ");
		if (end && field)
			want = end + 4 - answer + atoi(field + strlen("Content-Length: "));
	}
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	unsigned long long due = worker->first_ns;

	while (due < worker->end_ns && worker->requests < worker->room) {
		struct timespec when = {due / 1000000000, due % 1000000000};

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
		if (now_ns() >= worker->end_ns)
			break;
		exchange(worker->ssl);
		worker->took_us[worker->requests++] = (now_ns() - due) / 1000;
		due += worker->step_ns;
	}
	return NULL;
}

static int compare(const void *left, const void *right)
{
	unsigned int a = *(const unsigned int *)left, b = *(const unsigned int *)right;

	return (a > b) - (a < b);
}

static void report(struct worker *workers, int count, unsigned long long began, double seconds)
{
	unsigned int *all = malloc(sizeof(*all) * (size_t)count * workers[0].room);
	double took_s = (now_ns() - began) / 1e9;
	int total = 0;

	for (int i = 0; i < count; i++) {
		memcpy(all + total, workers[i].took_us, sizeof(*all) * workers[i].requests);
		total += workers[i].requests;
	}
	if (!total)
		die("no request");
	qsort(all, total, sizeof(*all), compare);
	printf("%d %.3f %u %u\n", total, took_s > seconds ? took_s : seconds, all[total / 2],
	       all[total * 99LL / 100]);
}

int main(int argc, char **argv)
{
	int port, count, rate;
	double seconds;
	struct worker *workers;
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	unsigned long long began;

	if (argc != 5) {
		fputs("paced PORT CONNECTIONS RATE SECONDS\n", stderr);
		return 2;
	}
	port = atoi(argv[1]);
	count = atoi(argv[2]);
	rate = atoi(argv[3]);
	seconds = atof(argv[4]);
	workers = calloc(count, sizeof(*workers));
	for (int i = 0; i < count; i++) {
		workers[i].room = rate * seconds / count + 2;
		workers[i].took_us = calloc(workers[i].room, sizeof(*workers[i].took_us));
		workers[i].ssl = open_connection(context, port);
	}
	began = now_ns() + 10000000;
	for (int i = 0; i < count; i++) {
		workers[i].step_ns = 1000000000ULL * count / rate;
		workers[i].first_ns = began + workers[i].step_ns * i / count;
		workers[i].end_ns = began + seconds * 1e9;
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (int i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
	report(workers, count, began, seconds);
	return 0;
}
