/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links between programs and probe points. Made with bpf(2) itself, since the libbpf of Debian 12
 * is older than uprobe_multi (Linux 6.6, 89ae89f53d20).
 */
#include "native.h"
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ATTACH_PERF_EVENT 41
#define ATTACH_UPROBE_MULTI 48
#define UPROBE_MULTI_RETURN 1

/* The head of union bpf_attr for BPF_LINK_CREATE, as in include/uapi/linux/bpf.h of Linux 6.6 */
struct link_create {
	uint32_t program_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t flags;
	union {
		struct {
			uint64_t path;
			uint64_t offsets;
			uint64_t reference_offsets;
			uint64_t cookies;
			uint32_t count;
			uint32_t flags;
			uint32_t pid;
			uint32_t pad;
		} multi;
		struct {
			uint64_t cookie;
		} perf;
		uint8_t room[64];
	};
};

static int create_link(struct link_create *create)
{
	return (int)syscall(__NR_bpf, BPF_LINK_CREATE, create, sizeof(*create));
}

/* `sequence` as uint64_t[*count], to be freed. */
static uint64_t *numbers(PyObject *sequence, Py_ssize_t *count)
{
	Py_ssize_t length = PySequence_Size(sequence);
	uint64_t *values;

	if (length < 0)
		return NULL;
	values = calloc((size_t)length + 1, sizeof(*values));
	if (!values) {
		PyErr_NoMemory();
		return NULL;
	}
	for (Py_ssize_t i = 0; i < length; i++) {
		PyObject *item = PySequence_GetItem(sequence, i);

		values[i] = item ? PyLong_AsUnsignedLongLong(item) : 0;
		Py_XDECREF(item);
		if (PyErr_Occurred()) {
			free(values);
			return NULL;
		}
	}
	*count = length;
	return values;
}

static PyObject *link_uprobe_multi(PyObject *module, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"program_fd", "path", "offsets", "cookies", "returns", "pid", NULL};
	PyObject *offset_sequence, *cookie_sequence;
	int program_fd, returns = 0, fd = -1, error;
	unsigned int pid = 0;
	const char *path;
	Py_ssize_t count = 0, cookie_count = 0;
	uint64_t *offsets, *cookies;
	struct link_create create;

	(void)module;
	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "isOO|$pI", names, &program_fd, &path,
					 &offset_sequence, &cookie_sequence, &returns, &pid))
		return NULL;
	offsets = numbers(offset_sequence, &count);
	cookies = offsets ? numbers(cookie_sequence, &cookie_count) : NULL;
	if (!cookies || count != cookie_count) {
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_ValueError, "as many cookies as offsets");
		free(offsets);
		free(cookies);
		return NULL;
	}
	memset(&create, 0, sizeof(create));
	create.program_fd = (uint32_t)program_fd;
	create.attach_type = ATTACH_UPROBE_MULTI;
	create.multi.path = (uint64_t)(uintptr_t)path;
	create.multi.offsets = (uint64_t)(uintptr_t)offsets;
	create.multi.cookies = (uint64_t)(uintptr_t)cookies;
	create.multi.count = (uint32_t)count;
	create.multi.flags = returns ? UPROBE_MULTI_RETURN : 0;
	create.multi.pid = pid;
	Py_BEGIN_ALLOW_THREADS
	fd = create_link(&create);
	error = errno;
	Py_END_ALLOW_THREADS
	free(offsets);
	free(cookies);
	return fd < 0 ? native_error(error, "link uprobe_multi") : PyLong_FromLong(fd);
}

static int uprobe_event_type(void)
{
	FILE *file = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	int type = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%d", &type) != 1)
		type = -1;
	fclose(file);
	return type;
}

static PyObject *link_uprobe_perf(PyObject *module, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"program_fd", "path", "offset", "cookie", "returns", NULL};
	int program_fd, returns = 0, event, link;
	unsigned long long offset, cookie;
	const char *path;
	struct perf_event_attr attributes;
	struct link_create create;

	(void)module;
	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "isKK|$p", names, &program_fd, &path,
					 &offset, &cookie, &returns))
		return NULL;
	memset(&attributes, 0, sizeof(attributes));
	attributes.size = sizeof(attributes);
	attributes.type = (uint32_t)uprobe_event_type();
	attributes.config = returns ? 1 : 0; /* format/retprobe: config:0 */
	attributes.config1 = (uint64_t)(uintptr_t)path;
	attributes.config2 = offset;
	event = (int)syscall(__NR_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		return native_error(errno, "open uprobe event");
	memset(&create, 0, sizeof(create));
	create.program_fd = (uint32_t)program_fd;
	create.target_fd = (uint32_t)event;
	create.attach_type = ATTACH_PERF_EVENT;
	create.perf.cookie = cookie;
	link = create_link(&create);
	if (link < 0) {
		int error = errno;

		close(event);
		return native_error(error, "link uprobe event");
	}
	return Py_BuildValue("ii", event, link);
}

static PyObject *link_raw_tracepoint(PyObject *module, PyObject *arguments)
{
	int program_fd, fd;
	const char *name;

	(void)module;
	if (!PyArg_ParseTuple(arguments, "is", &program_fd, &name))
		return NULL;
	fd = bpf_raw_tracepoint_open(name, program_fd);
	return fd < 0 ? native_error(fd, "link raw tracepoint") : PyLong_FromLong(fd);
}

PyMethodDef native_link_methods[] = {
	{"link_uprobe_multi", (PyCFunction)(void (*)(void))link_uprobe_multi,
	 METH_VARARGS | METH_KEYWORDS, NULL},
	{"link_uprobe_perf", (PyCFunction)(void (*)(void))link_uprobe_perf,
	 METH_VARARGS | METH_KEYWORDS, NULL},
	{"link_raw_tracepoint", link_raw_tracepoint, METH_VARARGS, NULL},
	{NULL, NULL, 0, NULL},
};
