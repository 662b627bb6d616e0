/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams of UDP that were captured as one packet, one by one. */
#ifndef PLAINTAP_DATAGRAMS_H
#define PLAINTAP_DATAGRAMS_H

#include <stdint.h>
#include <linux/types.h>
#include "packet.h"

#define DATAGRAMS_MAX 128 /* UDP_MAX_SEGMENTS, include/linux/udp.h of the kernel */
#define DATAGRAM_HEAD_MAX 128

struct datagrams {
	const struct pt_packet *packet; /* NULL once all were given */
	struct pt_packet *one;		/* room for any of them */
	uint32_t at, number;
};

struct datagrams datagrams_of(const struct pt_packet *packet, struct pt_packet *one);

/* A packet that is not several is given as it is; NULL behind the last. */
const struct pt_packet *next_datagram(struct datagrams *datagrams);

#endif
