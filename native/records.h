/* SPDX-License-Identifier: Apache-2.0 */
/* Records into Python tuples, whatever their source. */
#ifndef PLAINTAP_RECORDS_H
#define PLAINTAP_RECORDS_H

#include "native.h"
#include <linux/types.h>
#include "wire.h"

#define IDENTITY_SLOTS 16384
#define RUN_MAX 64 /* chunks joined into one bytes object: 1 MiB at most */

/*
 * Which identity (process name, socket) each session was last shown with; a collision only costs a
 * repeated fact.
 */
struct identities {
	uint64_t session[IDENTITY_SLOTS];
	uint64_t hash[IDENTITY_SLOTS];
};

/* Neighbouring chunks of one direction of one session, not yet a tuple. */
struct run {
	const struct pt_data *chunk[RUN_MAX];
	int length;
	size_t bytes;
};

/* Whether `size` bytes at `record` hold a whole, known record. */
bool record_is_whole(const uint8_t *record, size_t size);
/*
 * Appends what `record` amounts to, a fact of kind 0 if it is no record; -1 with an exception set.
 * The memory must stay until the flush.
 */
int record_append(PyObject *list, struct identities *identities, struct run *run,
		  const uint8_t *record, size_t room);
int run_flush(PyObject *list, struct run *run);

#endif
