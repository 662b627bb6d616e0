/* SPDX-License-Identifier: Apache-2.0 */
/* transfer HOST PORT UP DOWN [plain|ex|mixed [EXCHANGES]]: one connection, each part one call. */
#include "peer.h"

static enum form form_of(const char *name)
{
	if (!strcmp(name, "ex"))
		return FORM_EX;
	return strcmp(name, "mixed") ? FORM_PLAIN : FORM_MIXED;
}

int main(int argc, char **argv)
{
	enum form form = argc > 5 ? form_of(argv[5]) : FORM_PLAIN;
	int exchanges = argc > 6 ? atoi(argv[6]) : 1;
	struct peer peer;

	ready();
	peer = open_peer(client_context(), argv[1], argv[2], form);
	for (int i = 0; i < exchanges; i++)
		exchange(&peer, strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10), i);
	report(&peer);
	close_peer(&peer);
	return 0;
}
