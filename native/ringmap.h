/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consumer's side of a BPF ring buffer (layout: kernel/bpf/ringbuf.c): a page with the consumer's
 * position, a page with the producer's, then the data, and its beginning once more, so that no record
 * is ever split. Programs submit without a wake-up; the caller's timeout is the poll.
 */
#ifndef PLAINTAP_RINGMAP_H
#define PLAINTAP_RINGMAP_H

#include "native.h"

#define RECORD_BUSY (1U << 31)
#define RECORD_DISCARDED (1U << 30)

struct ring_map {
	int epoll_fd;
	size_t page;
	size_t size;
	unsigned long *consumer;
	unsigned long *producer;
	const uint8_t *data;
};

/* An error number, or 0. */
int ring_map_open(struct ring_map *ring, int fd, size_t size);
void ring_map_close(struct ring_map *ring);
/* Until something is there, at most for so long; with an exception set when it is not 0. */
int ring_map_wait(struct ring_map *ring, int timeout_ms);
/* The record at `position`; false where the producer has not finished one. */
bool ring_record_at(const struct ring_map *ring, unsigned long position, const uint8_t **record,
		    uint32_t *length);
unsigned long ring_after_record(unsigned long position, uint32_t length);

#endif
