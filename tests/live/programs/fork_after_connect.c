/* SPDX-License-Identifier: Apache-2.0 */
/* fork_after_connect HOST PORT SIZE: the parent speaks, then its child on the same connection. */
#include "peer.h"
#include <sys/wait.h>

int main(int argc, char **argv)
{
	size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	struct peer peer;
	int status;
	pid_t child;

	ready();
	peer = open_peer(client_context(), argv[1], argv[2], FORM_PLAIN);
	exchange(&peer, size, size, 1);
	report(&peer);
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		struct peer inherited = new_peer(peer.ssl, peer.fd, FORM_PLAIN);

		exchange(&inherited, size, size, 2);
		report(&inherited);
		close_peer(&inherited);
		return 0;
	}
	if (waitpid(child, &status, 0) != child || status)
		die("child");
	return 0;
}
