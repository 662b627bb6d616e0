/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executable file mappings of the whole host, from perf's MMAP2 records: a software event that
 * never fires, one per CPU, whose buffer carries them (include/uapi/linux/perf_event.h).
 */
#include "native.h"
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BUFFER_PAGES 32
#define SEEN_BITS 13 /* forgetting a file only costs looking at it again */

struct file_id {
	uint64_t inode;
	uint64_t generation; /* inode numbers are used again */
	uint32_t major;
	uint32_t minor;
};

/* PERF_RECORD_MMAP2 behind its header */
struct mapping {
	uint32_t pid, tid;
	uint64_t address, length, page_offset;
	uint32_t major, minor;
	uint64_t inode, inode_generation;
	uint32_t protection, flags;
	char path[];
};

struct buffer {
	int fd;
	struct perf_event_mmap_page *page;
};

struct map_watch {
	PyObject_HEAD
	int epoll_fd;
	int wake_fd;
	int count;
	size_t size;
	struct buffer *buffers;
	struct file_id *seen;
};

static struct file_id *slot_of(struct map_watch *watch, const struct file_id *id)
{
	uint64_t hash = (id->inode ^ (uint64_t)id->major << 40 ^ (uint64_t)id->minor << 52) *
			11400714819323198485ULL;

	return &watch->seen[hash >> (64 - SEEN_BITS)];
}

static int open_buffer(struct map_watch *watch, int cpu)
{
	struct perf_event_attr attributes;
	struct epoll_event event = {.events = EPOLLIN};
	struct buffer *buffer = &watch->buffers[watch->count];
	void *page;

	memset(&attributes, 0, sizeof(attributes));
	attributes.size = sizeof(attributes);
	attributes.type = PERF_TYPE_SOFTWARE;
	attributes.config = PERF_COUNT_SW_DUMMY;
	attributes.mmap = 1;
	attributes.mmap2 = 1;
	attributes.watermark = 1;
	attributes.wakeup_watermark = 1;
	buffer->fd =
		(int)syscall(__NR_perf_event_open, &attributes, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (buffer->fd < 0)
		return errno == ENODEV ? 0 : errno; /* ENODEV: the CPU is offline */
	page = mmap(NULL, watch->size + (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
		    MAP_SHARED, buffer->fd, 0);
	if (page == MAP_FAILED || epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, buffer->fd, &event)) {
		int error = errno;

		close(buffer->fd);
		return error;
	}
	buffer->page = page;
	watch->count++;
	return 0;
}

static void close_all(struct map_watch *watch)
{
	for (int i = 0; i < watch->count; i++) {
		munmap(watch->buffers[i].page, watch->size + (size_t)sysconf(_SC_PAGESIZE));
		close(watch->buffers[i].fd);
	}
	watch->count = 0;
	if (watch->epoll_fd > 0)
		close(watch->epoll_fd);
	if (watch->wake_fd > 0)
		close(watch->wake_fd);
	watch->epoll_fd = -1;
	watch->wake_fd = -1;
}

static int watch_init(PyObject *self, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {NULL};
	struct map_watch *watch = (struct map_watch *)self;
	struct epoll_event wake = {.events = EPOLLIN};
	int cpus = libbpf_num_possible_cpus(), error = 0;

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "", names))
		return -1;
	if (watch->seen) {
		PyErr_SetString(PyExc_RuntimeError, "initialised twice");
		return -1;
	}
	watch->size = BUFFER_PAGES * (size_t)sysconf(_SC_PAGESIZE);
	watch->buffers = calloc(cpus > 0 ? (size_t)cpus : 1, sizeof(*watch->buffers));
	watch->seen = calloc(1 << SEEN_BITS, sizeof(*watch->seen));
	if (!watch->buffers || !watch->seen) {
		PyErr_NoMemory();
		return -1;
	}
	watch->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	watch->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (watch->epoll_fd < 0 || watch->wake_fd < 0 ||
	    epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, watch->wake_fd, &wake))
		error = errno;
	for (int cpu = 0; cpu < cpus && !error; cpu++)
		error = open_buffer(watch, cpu);
	if (error) {
		close_all(watch);
		native_error(error, "watch mappings");
		return -1;
	}
	return 0;
}

static PyObject *watch_close(PyObject *self, PyObject *unused)
{
	(void)unused;
	close_all((struct map_watch *)self);
	Py_RETURN_NONE;
}

static void watch_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	struct map_watch *watch = (struct map_watch *)self;

	close_all(watch);
	free(watch->buffers);
	free(watch->seen);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

static int append_mapping(struct map_watch *watch, PyObject *list, const struct mapping *mapping)
{
	struct file_id id = {mapping->inode, mapping->inode_generation, mapping->major,
			     mapping->minor};
	struct file_id *slot = slot_of(watch, &id);
	PyObject *path, *tuple;
	int result;

	if (!id.inode || !memcmp(slot, &id, sizeof(id)))
		return 0;
	*slot = id;
	path = PyUnicode_DecodeFSDefault(mapping->path);
	tuple = path ? Py_BuildValue("IIIKKN", mapping->pid, id.major, id.minor,
				     (unsigned long long)id.inode,
				     (unsigned long long)id.generation, path) :
		       NULL;
	if (!tuple)
		return -1;
	result = PyList_Append(list, tuple);
	Py_DECREF(tuple);
	return result;
}

/* One record, copied out first if it wraps around the end. */
static int take_record(struct map_watch *watch, PyObject *list, const uint8_t *data,
		       uint64_t position, uint64_t *lost, uint64_t *size)
{
	static uint64_t copy[(1 << 16) / 8];
	struct perf_event_header header;
	size_t start = position & (watch->size - 1), first;

	memcpy(&header, data + start, sizeof(header)); /* records are 8-byte aligned */
	*size = header.size;
	if (header.size < sizeof(header))
		return 0;
	first = watch->size - start < header.size ? watch->size - start : header.size;
	memcpy(copy, data + start, first);
	memcpy((uint8_t *)copy + first, data, header.size - first);
	if (header.type == PERF_RECORD_MMAP2)
		return append_mapping(watch, list, (struct mapping *)(copy + 1));
	if (header.type == PERF_RECORD_LOST)
		*lost += copy[2]; /* struct { header; u64 id; u64 lost; } */
	return 0;
}

static int take_all(struct map_watch *watch, struct buffer *buffer, PyObject *list, uint64_t *lost)
{
	const uint8_t *data = (uint8_t *)buffer->page + sysconf(_SC_PAGESIZE);
	uint64_t head = __atomic_load_n(&buffer->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = buffer->page->data_tail, size = 1;
	int result = 0;

	while (tail < head && !result && size) {
		result = take_record(watch, list, data, tail, lost, &size);
		tail += size;
	}
	__atomic_store_n(&buffer->page->data_tail, size ? tail : head, __ATOMIC_RELEASE);
	return result;
}

static PyObject *watch_wait(PyObject *self, PyObject *arguments)
{
	struct map_watch *watch = (struct map_watch *)self;
	struct epoll_event event;
	uint64_t lost = 0;
	PyObject *list;
	int timeout_ms, ready;

	if (!PyArg_ParseTuple(arguments, "i", &timeout_ms))
		return NULL;
	if (watch->epoll_fd <= 0) {
		PyErr_SetString(PyExc_ValueError, "the watch is closed");
		return NULL;
	}
	Py_BEGIN_ALLOW_THREADS
	ready = epoll_wait(watch->epoll_fd, &event, 1, timeout_ms);
	Py_END_ALLOW_THREADS
	if (ready < 0 && errno == EINTR && PyErr_CheckSignals())
		return NULL;
	list = PyList_New(0);
	for (int i = 0; list && i < watch->count; i++)
		if (take_all(watch, &watch->buffers[i], list, &lost))
			Py_CLEAR(list);
	return list ? Py_BuildValue("NK", list, (unsigned long long)lost) : NULL;
}

static PyObject *watch_wake(PyObject *self, PyObject *unused)
{
	(void)unused;
	eventfd_write(((struct map_watch *)self)->wake_fd, 1);
	Py_RETURN_NONE;
}

static PyObject *watch_forget(PyObject *self, PyObject *arguments)
{
	struct map_watch *watch = (struct map_watch *)self;
	struct file_id id, *slot;
	unsigned long long inode, generation;

	if (!PyArg_ParseTuple(arguments, "IIKK", &id.major, &id.minor, &inode, &generation))
		return NULL;
	if (!watch->seen)
		Py_RETURN_NONE;
	id.inode = inode;
	id.generation = generation;
	slot = slot_of(watch, &id);
	if (!memcmp(slot, &id, sizeof(id)))
		memset(slot, 0, sizeof(*slot));
	Py_RETURN_NONE;
}

static PyMethodDef watch_methods[] = {
	{"wait", watch_wait, METH_VARARGS, NULL},
	{"wake", watch_wake, METH_NOARGS, NULL},
	{"forget", watch_forget, METH_VARARGS, NULL},
	{"close", watch_close, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyType_Slot watch_slots[] = {
	{Py_tp_init, watch_init},
	{Py_tp_new, PyType_GenericNew},
	{Py_tp_dealloc, watch_dealloc},
	{Py_tp_methods, watch_methods},
	{0, NULL},
};

PyType_Spec native_map_watch_spec = {
	.name = "plaintap._native.MapWatch",
	.basicsize = sizeof(struct map_watch),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = watch_slots,
};
