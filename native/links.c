/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links between programs and probe points. Made with bpf(2) itself, since the libbpf of Debian 12
 * is older than uprobe_multi (Linux 6.6, 89ae89f53d20).
 */
#include "native.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
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

static int event_type(const char *source)
{
	char path[64];
	FILE *file;
	int type = -1;

	snprintf(path, sizeof(path), "/sys/bus/event_source/devices/%s/type", source);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%d", &type) != 1)
		type = -1;
	fclose(file);
	return type;
}

/* The event and its link, of a uprobe (path and offset) or a kprobe (function). */
static PyObject *link_event(int program_fd, const char *source, const char *where,
			    unsigned long long offset, unsigned long long cookie, int returns)
{
	struct perf_event_attr attributes;
	struct link_create create;
	int type = event_type(source), event, link;

	if (type < 0)
		return native_error(EOPNOTSUPP, "open probe event");
	memset(&attributes, 0, sizeof(attributes));
	attributes.size = sizeof(attributes);
	attributes.type = (uint32_t)type;
	attributes.config = returns ? 1 : 0; /* format/retprobe: config:0 */
	attributes.config1 = (uint64_t)(uintptr_t)where;
	attributes.config2 = offset;
	event = (int)syscall(__NR_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		return native_error(errno, "open probe event");
	memset(&create, 0, sizeof(create));
	create.program_fd = (uint32_t)program_fd;
	create.target_fd = (uint32_t)event;
	create.attach_type = ATTACH_PERF_EVENT;
	create.perf.cookie = cookie;
	link = create_link(&create);
	if (link < 0) {
		int error = errno;

		close(event);
		return native_error(error, "link probe event");
	}
	return Py_BuildValue("ii", event, link);
}

static PyObject *link_uprobe_perf(PyObject *module, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"program_fd", "path", "offset", "cookie", "returns", NULL};
	unsigned long long offset, cookie;
	int program_fd, returns = 0;
	const char *path;

	(void)module;
	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "isKK|$p", names, &program_fd, &path,
					 &offset, &cookie, &returns))
		return NULL;
	return link_event(program_fd, "uprobe", path, offset, cookie, returns);
}

static PyObject *link_kprobe(PyObject *module, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"program_fd", "function", "returns", NULL};
	int program_fd, returns = 0;
	const char *function;

	(void)module;
	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "is|$p", names, &program_fd,
					 &function, &returns))
		return NULL;
	return link_event(program_fd, "kprobe", function, 0, 0, returns);
}

static PyObject *link_tracing(PyObject *module, PyObject *arguments)
{
	int program_fd, fd;

	(void)module;
	if (!PyArg_ParseTuple(arguments, "i", &program_fd))
		return NULL;
	fd = bpf_raw_tracepoint_open(NULL, program_fd); /* the function is the program's */
	return fd < 0 ? native_error(fd, "link tracing program") : PyLong_FromLong(fd);
}

/* At a network interface or a cgroup. */
static PyObject *link_at(PyObject *module, PyObject *arguments)
{
	struct link_create create;
	int fd;

	(void)module;
	memset(&create, 0, sizeof(create));
	if (!PyArg_ParseTuple(arguments, "IIII", &create.program_fd, &create.target_fd,
			      &create.attach_type, &create.flags))
		return NULL;
	fd = create_link(&create);
	return fd < 0 ? native_error(errno, "link program") : PyLong_FromLong(fd);
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

/* For finding out what the kernel takes, without maps and with nothing to verify. */
static PyObject *empty_program(PyObject *module, PyObject *arguments)
{
	struct bpf_insn instructions[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options);
	int type, fd;

	(void)module;
	if (!PyArg_ParseTuple(arguments, "i", &type))
		return NULL;
	options.expected_attach_type = (enum bpf_attach_type)type;
	fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "pt_empty", "GPL", instructions, 2, &options);
	return fd < 0 ? native_error(fd, "load a program") : PyLong_FromLong(fd);
}

static PyObject *has_program_type(PyObject *module, PyObject *arguments)
{
	int type;

	(void)module;
	if (!PyArg_ParseTuple(arguments, "i", &type))
		return NULL;
	return PyBool_FromLong(libbpf_probe_bpf_prog_type((enum bpf_prog_type)type, NULL) == 1);
}

PyMethodDef native_link_methods[] = {
	{"empty_program", empty_program, METH_VARARGS, NULL},
	{"has_program_type", has_program_type, METH_VARARGS, NULL},
	{"link_uprobe_multi", (PyCFunction)(void (*)(void))link_uprobe_multi,
	 METH_VARARGS | METH_KEYWORDS, NULL},
	{"link_uprobe_perf", (PyCFunction)(void (*)(void))link_uprobe_perf,
	 METH_VARARGS | METH_KEYWORDS, NULL},
	{"link_kprobe", (PyCFunction)(void (*)(void))link_kprobe, METH_VARARGS | METH_KEYWORDS,
	 NULL},
	{"link_at", link_at, METH_VARARGS, NULL},
	{"link_raw_tracepoint", link_raw_tracepoint, METH_VARARGS, NULL},
	{"link_tracing", link_tracing, METH_VARARGS, NULL},
	{NULL, NULL, 0, NULL},
};
