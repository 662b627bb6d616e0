/* SPDX-License-Identifier: Apache-2.0 */
/* early_data SIZE: one session for its ticket, then one that begins with early data. */
#include "pair.h"

static SSL_SESSION *ticket;

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(ticket);
	ticket = session;
	return 1;
}

static void begin_early(struct pair *pair, const unsigned char *data, size_t size)
{
	unsigned char *seen = checked(malloc(size), "malloc");
	size_t done, total = 0;
	int state;

	if (SSL_write_early_data(pair->client.ssl, data, size, &done) != 1)
		die("SSL_write_early_data");
	add(&pair->client.written, data, done);
	while ((state = SSL_read_early_data(pair->server.ssl, seen, size, &done)) ==
	       SSL_READ_EARLY_DATA_SUCCESS) {
		add(&pair->server.read, seen, done);
		total += done;
		if (total == size)
			break;
	}
	if (total != size)
		die("SSL_read_early_data");
	free(seen);
}

int main(int argc, char **argv)
{
	size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, done;
	SSL_CTX *client = client_context(), *server = server_context();
	unsigned char *buffer = checked(malloc(size), "malloc");
	struct pair first, second;
	SSL *asks, *answers;

	SSL_CTX_set_num_tickets(server, 1);
	SSL_CTX_set_max_early_data(server, 1 << 16);
	SSL_CTX_set_session_id_context(server, (const unsigned char *)"early", 5);
	SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(client, on_ticket);
	ready();
	fill(buffer, size, 10);
	first = open_pair(client, server);
	pair_exchange(&first, buffer, size);
	checked(ticket, "a ticket");
	second = new_pair(client, server);
	asks = second.client.ssl;
	answers = second.server.ssl;
	SSL_set_session(asks, ticket);
	begin_early(&second, buffer, size);
	SSL_do_handshake(asks);
	if (SSL_read_early_data(answers, buffer, size, &done) != SSL_READ_EARLY_DATA_FINISH)
		die("end of early data");
	finish_handshake(&second);
	fill(buffer, size, 11);
	pair_exchange(&second, buffer, size);
	report_pair(&first);
	report_pair(&second);
	close_pair(&first);
	close_pair(&second);
	return 0;
}
