/* SPDX-License-Identifier: Apache-2.0 */
/* A BPF ring buffer in memory. */
#include "ringmap.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#define RECORD_HEADER 8
/* No record is larger: so much of the second mapping is enough, and each page of it counts as used. */
#define RECORD_MAX (1UL << 17)

static size_t mapped_size(const struct ring_map *ring)
{
	return ring->page + ring->size + (ring->size < RECORD_MAX ? ring->size : RECORD_MAX);
}

static int map_pages(struct ring_map *ring, int fd)
{
	void *consumer, *producer;

	ring->page = (size_t)sysconf(_SC_PAGESIZE);
	consumer = mmap(NULL, ring->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return errno;
	ring->consumer = consumer;
	producer = mmap(NULL, mapped_size(ring), PROT_READ, MAP_SHARED, fd, (off_t)ring->page);
	if (producer == MAP_FAILED)
		return errno;
	ring->producer = producer;
	ring->data = (const uint8_t *)producer + ring->page;
	return 0;
}

int ring_map_open(struct ring_map *ring, int fd, size_t size)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	int error;

	ring->size = size;
	ring->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	error = ring->epoll_fd < 0 ? errno : map_pages(ring, fd);
	if (!error && epoll_ctl(ring->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		error = errno;
	if (error)
		ring_map_close(ring);
	return error;
}

void ring_map_close(struct ring_map *ring)
{
	if (ring->producer)
		munmap(ring->producer, mapped_size(ring));
	if (ring->consumer)
		munmap(ring->consumer, ring->page);
	if (ring->epoll_fd > 0)
		close(ring->epoll_fd);
	ring->producer = NULL;
	ring->consumer = NULL;
	ring->epoll_fd = -1;
}

int ring_map_wait(struct ring_map *ring, int timeout_ms)
{
	struct epoll_event event;
	int ready;

	Py_BEGIN_ALLOW_THREADS
	ready = epoll_wait(ring->epoll_fd, &event, 1, timeout_ms);
	Py_END_ALLOW_THREADS
	if (ready < 0 && errno == EINTR)
		return PyErr_CheckSignals();
	return 0;
}

bool ring_record_at(const struct ring_map *ring, unsigned long position, const uint8_t **record,
		    uint32_t *length)
{
	const uint32_t *header = (const uint32_t *)(ring->data + (position & (ring->size - 1)));

	if (position >= __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE))
		return false;
	*length = __atomic_load_n(header, __ATOMIC_ACQUIRE);
	*record = (const uint8_t *)header + RECORD_HEADER;
	return !(*length & RECORD_BUSY);
}

unsigned long ring_after_record(unsigned long position, uint32_t length)
{
	length &= ~(RECORD_BUSY | RECORD_DISCARDED);
	return position + ((length + RECORD_HEADER + 7UL) & ~7UL);
}
