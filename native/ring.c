/* SPDX-License-Identifier: Apache-2.0 */
/* Records of a BPF ring buffer as tuples, and into a recording. */
#include "records.h"
#include "ringmap.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct ring {
	PyObject_HEAD
	struct ring_map map;
	struct identities *identities;
	bool backlog;		/* the last drain stopped at its limit */
	uint64_t payload_bytes; /* drained so far */
	uint64_t batch_payload_bytes;
};

static int ring_init(PyObject *self, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"map_fd", "size", NULL};
	struct ring *ring = (struct ring *)self;
	Py_ssize_t size;
	int fd, error;

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "in", names, &fd, &size))
		return -1;
	if (ring->identities) {
		PyErr_SetString(PyExc_RuntimeError, "initialised twice");
		return -1;
	}
	ring->identities = calloc(1, sizeof(*ring->identities));
	if (!ring->identities) {
		PyErr_NoMemory();
		return -1;
	}
	error = ring_map_open(&ring->map, fd, (size_t)size);
	if (error) {
		native_error(error, "map ring");
		return -1;
	}
	return 0;
}

static PyObject *ring_close(PyObject *self, PyObject *unused)
{
	(void)unused;
	ring_map_close(&((struct ring *)self)->map);
	Py_RETURN_NONE;
}

static void ring_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	struct ring *ring = (struct ring *)self;

	ring_map_close(&ring->map);
	free(ring->identities);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
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

		if (!ring_record_at(&ring->map, from, &record, &length))
			break;
		from = ring_after_record(from, length);
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

		if (!ring_record_at(&ring->map, position, &record, &length))
			break;
		if (!(length & RECORD_DISCARDED) && record_is_whole(record, length)) {
			pieces[count].iov_base = (void *)(uintptr_t)record;
			pieces[count].iov_len = ((const struct pt_header *)record)->size;
			count++;
		}
		position = ring_after_record(position, length);
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

	return ring_record_at(&ring->map, *ring->map.consumer, &record, &length);
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
	while (position - from < max_bytes &&
	       ring_record_at(&ring->map, position, &record, &length)) {
		ring->batch_payload_bytes += payload_of(record, length);
		position = ring_after_record(position, length);
	}
	ring->backlog = ring_record_at(&ring->map, position, &record, &length);
	return position;
}

static PyObject *tuples(struct ring *ring, unsigned long from, unsigned long to, bool only_facts)
{
	PyObject *list = PyList_New(0);

	while (list && from < to) {
		const uint8_t *record;
		uint32_t length;

		if (!ring_record_at(&ring->map, from, &record, &length))
			break;
		from = ring_after_record(from, length);
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
	if (!ring->map.consumer) {
		PyErr_SetString(PyExc_ValueError, "the ring is closed");
		return NULL;
	}
	if (timeout_ms && !ring->backlog && ring_map_wait(&ring->map, timeout_ms))
		return NULL;
	if (!ring->map.consumer) /* closed by a signal's handler */
		return PyList_New(0);
	from = *ring->map.consumer;
	to = batch_end(ring, from, (size_t)max_bytes);
	if (record_fd >= 0 && to > from) {
		Py_BEGIN_ALLOW_THREADS
		error = record_span(ring, from, to, record_fd);
		Py_END_ALLOW_THREADS
	}
	if (error)
		return native_error(error, "record");
	if (!ring->map.consumer) /* closed meanwhile by another thread */
		return PyList_New(0);
	list = tuples(ring, from, to, !data);
	if (!list)
		return NULL;
	ring->payload_bytes += ring->batch_payload_bytes;
	__atomic_store_n(ring->map.consumer, to, __ATOMIC_RELEASE);
	return list;
}

static PyObject *ring_pending(PyObject *self, PyObject *unused)
{
	struct ring *ring = (struct ring *)self;

	(void)unused;
	if (!ring->map.consumer || !anything_there(ring))
		return PyLong_FromLong(0);
	return PyLong_FromUnsignedLong(__atomic_load_n(ring->map.producer, __ATOMIC_ACQUIRE) -
				       *ring->map.consumer);
}

static PyObject *ring_payload_bytes(PyObject *self, PyObject *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(((struct ring *)self)->payload_bytes);
}

static PyObject *ring_fileno(PyObject *self, PyObject *unused)
{
	(void)unused;
	return PyLong_FromLong(((struct ring *)self)->map.epoll_fd);
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
