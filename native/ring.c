/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consumer of a BPF ring buffer (layout: kernel/bpf/ringbuf.c): a page with the consumer's
 * position, a page with the producer's, then the data mapped twice in a row, so that no record is
 * ever split. Programs submit without a wake-up; the caller's timeout is the poll.
 */
#include "records.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define RECORD_BUSY (1U << 31)
#define RECORD_DISCARDED (1U << 30)
#define RECORD_HEADER 8

struct ring {
	PyObject_HEAD
	int epoll_fd;
	size_t page;
	size_t size;
	unsigned long *consumer;
	unsigned long *producer;
	const uint8_t *data;
	struct identities *identities;
	bool backlog;		/* the last drain stopped at its limit */
	uint64_t payload_bytes; /* drained so far */
	uint64_t batch_payload_bytes;
};

static int map_pages(struct ring *ring, int fd)
{
	void *consumer, *producer;

	ring->page = (size_t)sysconf(_SC_PAGESIZE);
	consumer = mmap(NULL, ring->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return errno;
	ring->consumer = consumer;
	producer = mmap(NULL, ring->page + 2 * ring->size, PROT_READ, MAP_SHARED, fd,
			(off_t)ring->page);
	if (producer == MAP_FAILED)
		return errno;
	ring->producer = producer;
	ring->data = (const uint8_t *)producer + ring->page;
	return 0;
}

static void unmap(struct ring *ring)
{
	if (ring->producer)
		munmap(ring->producer, ring->page + 2 * ring->size);
	if (ring->consumer)
		munmap(ring->consumer, ring->page);
	if (ring->epoll_fd > 0)
		close(ring->epoll_fd);
	ring->producer = NULL;
	ring->consumer = NULL;
	ring->epoll_fd = -1;
}

static int ring_init(PyObject *self, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"map_fd", "size", NULL};
	struct ring *ring = (struct ring *)self;
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	Py_ssize_t size;
	int fd, error;

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "in", names, &fd, &size))
		return -1;
	if (ring->identities) {
		PyErr_SetString(PyExc_RuntimeError, "initialised twice");
		return -1;
	}
	ring->size = (size_t)size;
	ring->identities = calloc(1, sizeof(*ring->identities));
	if (!ring->identities) {
		PyErr_NoMemory();
		return -1;
	}
	ring->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	error = ring->epoll_fd < 0 ? errno : map_pages(ring, fd);
	if (!error && epoll_ctl(ring->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		error = errno;
	if (error) {
		unmap(ring);
		native_error(error, "map ring");
		return -1;
	}
	return 0;
}

static PyObject *ring_close(PyObject *self, PyObject *unused)
{
	(void)unused;
	unmap((struct ring *)self);
	Py_RETURN_NONE;
}

static void ring_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	struct ring *ring = (struct ring *)self;

	unmap(ring);
	free(ring->identities);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

/* The record at `position`; false where the producer has not finished one. */
static bool record_at(const struct ring *ring, unsigned long position, const uint8_t **record,
		      uint32_t *length)
{
	const uint32_t *header = (const uint32_t *)(ring->data + (position & (ring->size - 1)));

	if (position >= __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE))
		return false;
	*length = __atomic_load_n(header, __ATOMIC_ACQUIRE);
	*record = (const uint8_t *)header + RECORD_HEADER;
	return !(*length & RECORD_BUSY);
}

static unsigned long after_record(unsigned long position, uint32_t length)
{
	length &= ~(RECORD_BUSY | RECORD_DISCARDED);
	return position + ((length + RECORD_HEADER + 7UL) & ~7UL);
}

static int write_all(int fd, struct iovec *pieces, int count)
{
	while (count) {
		ssize_t written = writev(fd, pieces, count);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return errno;
		while (count && (size_t)written >= pieces->iov_len) {
			written -= (ssize_t)pieces->iov_len;
			pieces++;
			count--;
		}
		if (count) {
			pieces->iov_base = (char *)pieces->iov_base + written;
			pieces->iov_len -= (size_t)written;
		}
	}
	return 0;
}

/* After a failed write: the file ends behind the last of these records that it holds whole. */
static int keep_whole_records(const struct ring *ring, unsigned long from, unsigned long to, int fd,
			      off_t start)
{
	struct stat status;
	off_t end = start;

	if (start < 0)
		return 0;
	if (fstat(fd, &status))
		return errno;
	while (from < to) {
		const uint8_t *record;
		uint32_t length, size;

		if (!record_at(ring, from, &record, &length))
			break;
		from = after_record(from, length);
		if (length & RECORD_DISCARDED || !record_is_whole(record, length))
			continue;
		size = ((const struct pt_header *)record)->size;
		if (end + size > status.st_size)
			break;
		end += size;
	}
	return ftruncate(fd, end) ? errno : 0;
}

/* Writes the records between two positions. */
static int record_span(const struct ring *ring, unsigned long from, unsigned long to, int fd)
{
	struct iovec pieces[IOV_MAX];
	struct stat status;
	off_t start = fstat(fd, &status) || !S_ISREG(status.st_mode) ? -1 : status.st_size;
	unsigned long position = from;
	int count = 0, error = 0;

	while (position < to && !error) {
		const uint8_t *record;
		uint32_t length;

		if (!record_at(ring, position, &record, &length))
			break;
		if (!(length & RECORD_DISCARDED) && record_is_whole(record, length)) {
			pieces[count].iov_base = (void *)(uintptr_t)record;
			pieces[count].iov_len = ((const struct pt_header *)record)->size;
			count++;
		}
		position = after_record(position, length);
		if (count == IOV_MAX || position >= to) {
			error = write_all(fd, pieces, count);
			count = 0;
		}
	}
	if (error)
		keep_whole_records(ring, from, to, fd, start);
	return error;
}

static bool anything_there(const struct ring *ring)
{
	const uint8_t *record;
	uint32_t length;

	return record_at(ring, *ring->consumer, &record, &length);
}

static int wait_for_records(struct ring *ring, int timeout_ms)
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

static uint64_t payload_of(const uint8_t *record, uint32_t length)
{
	const struct pt_data *data = (const struct pt_data *)record;

	if (length & RECORD_DISCARDED || length < sizeof(*data) || data->header.kind != PT_DATA)
		return 0;
	return data->length;
}

/* The position up to which at most about `max_bytes` of finished records lie. */
static unsigned long batch_end(struct ring *ring, unsigned long from, size_t max_bytes)
{
	unsigned long position = from;
	const uint8_t *record;
	uint32_t length;

	ring->batch_payload_bytes = 0;
	while (position - from < max_bytes && record_at(ring, position, &record, &length)) {
		ring->batch_payload_bytes += payload_of(record, length);
		position = after_record(position, length);
	}
	ring->backlog = record_at(ring, position, &record, &length);
	return position;
}

static PyObject *tuples(struct ring *ring, unsigned long from, unsigned long to, bool only_facts)
{
	PyObject *list = PyList_New(0);

	while (list && from < to) {
		const uint8_t *record;
		uint32_t length;

		if (!record_at(ring, from, &record, &length))
			break;
		from = after_record(from, length);
		if (!(length & RECORD_DISCARDED) &&
		    record_append(list, ring->identities, record, length, only_facts))
			Py_CLEAR(list);
	}
	return list;
}

static PyObject *ring_drain(PyObject *self, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"max_bytes", "timeout_ms", "record_fd", "data", NULL};
	struct ring *ring = (struct ring *)self;
	Py_ssize_t max_bytes;
	int timeout_ms, record_fd = -1, data = 1, error = 0;
	unsigned long from, to;
	PyObject *list;

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "ni|ip", names, &max_bytes,
					 &timeout_ms, &record_fd, &data))
		return NULL;
	if (!ring->consumer) {
		PyErr_SetString(PyExc_ValueError, "the ring is closed");
		return NULL;
	}
	if (timeout_ms && !ring->backlog && wait_for_records(ring, timeout_ms))
		return NULL;
	if (!ring->consumer) /* closed by a signal's handler */
		return PyList_New(0);
	from = *ring->consumer;
	to = batch_end(ring, from, (size_t)max_bytes);
	if (record_fd >= 0 && to > from) {
		Py_BEGIN_ALLOW_THREADS
		error = record_span(ring, from, to, record_fd);
		Py_END_ALLOW_THREADS
	}
	if (error)
		return native_error(error, "record");
	if (!ring->consumer) /* closed meanwhile by another thread */
		return PyList_New(0);
	list = tuples(ring, from, to, !data);
	if (!list)
		return NULL;
	ring->payload_bytes += ring->batch_payload_bytes;
	__atomic_store_n(ring->consumer, to, __ATOMIC_RELEASE);
	return list;
}

static PyObject *ring_pending(PyObject *self, PyObject *unused)
{
	struct ring *ring = (struct ring *)self;

	(void)unused;
	if (!ring->consumer || !anything_there(ring))
		return PyLong_FromLong(0);
	return PyLong_FromUnsignedLong(__atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) -
				       *ring->consumer);
}

static PyObject *ring_payload_bytes(PyObject *self, PyObject *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(((struct ring *)self)->payload_bytes);
}

static PyObject *ring_fileno(PyObject *self, PyObject *unused)
{
	(void)unused;
	return PyLong_FromLong(((struct ring *)self)->epoll_fd);
}

static PyMethodDef ring_methods[] = {
	{"drain", (PyCFunction)(void (*)(void))ring_drain, METH_VARARGS | METH_KEYWORDS, NULL},
	{"pending", ring_pending, METH_NOARGS, NULL},
	{"payload_bytes", ring_payload_bytes, METH_NOARGS, NULL},
	{"fileno", ring_fileno, METH_NOARGS, NULL},
	{"close", ring_close, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyType_Slot ring_slots[] = {
	{Py_tp_init, ring_init},
	{Py_tp_new, PyType_GenericNew},
	{Py_tp_dealloc, ring_dealloc},
	{Py_tp_methods, ring_methods},
	{0, NULL},
};

PyType_Spec native_ring_spec = {
	.name = "plaintap._native.Ring",
	.basicsize = sizeof(struct ring),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = ring_slots,
};
