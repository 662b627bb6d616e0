/* SPDX-License-Identifier: Apache-2.0 */
/* Records into Python tuples, whatever their source. */
#ifndef PLAINTAP_RECORDS_H
#define PLAINTAP_RECORDS_H

#include "native.h"
#include <linux/types.h>
#include "wire.h"

#define IDENTITY_BITS 14
#define IDENTITY_SLOTS (1 << IDENTITY_BITS)

/*
 * Which identity (process name, socket) each session was last shown with; a collision only costs a
 * repeated fact.
 */
struct identities {
	uint64_t session[IDENTITY_SLOTS];
	uint64_t hash[IDENTITY_SLOTS];
};

/* Whether `size` bytes at `record` hold a whole, known record. */
bool record_is_whole(const uint8_t *record, size_t size);
/* Appends what `record` amounts to, a fact of kind 0 if it is no record; -1 with an exception set. */
int record_append(PyObject *list, struct identities *identities, const uint8_t *record, size_t room,
		  bool only_facts);

#endif
