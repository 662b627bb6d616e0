/* SPDX-License-Identifier: Apache-2.0 */
/* Maps by file descriptor, and what the kernel tells of programs. */
#include "native.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t rounded(size_t bytes)
{
	return (bytes + 7) & ~(size_t)7;
}

static bool is_per_cpu(uint32_t type)
{
	return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/* The kernel reads and writes as much as the map says, whatever the caller's buffers hold. */
static bool sizes_fit(int fd, Py_ssize_t key_size, Py_ssize_t value_size)
{
	struct bpf_map_info info;
	unsigned int size = sizeof(info);
	size_t value;

	memset(&info, 0, sizeof(info));
	if (bpf_obj_get_info_by_fd(fd, &info, &size)) {
		native_error(errno, "read map information");
		return false;
	}
	value = info.value_size;
	if (is_per_cpu(info.type))
		value = rounded(value) * (size_t)libbpf_num_possible_cpus();
	if (key_size == (Py_ssize_t)info.key_size &&
	    (value_size < 0 || value_size == (Py_ssize_t)value))
		return true;
	PyErr_Format(PyExc_ValueError, "map %s has keys of %u and values of %zu bytes", info.name,
		     info.key_size, value);
	return false;
}

static PyObject *map_update(PyObject *module, PyObject *arguments)
{
	int fd;
	const char *key, *value;
	Py_ssize_t key_size, value_size;

	(void)module;
	if (!PyArg_ParseTuple(arguments, "iy#y#", &fd, &key, &key_size, &value, &value_size))
		return NULL;
	if (!sizes_fit(fd, key_size, value_size))
		return NULL;
	if (bpf_map_update_elem(fd, key, value, BPF_ANY))
		return native_error(errno, "update map");
	Py_RETURN_NONE;
}

static PyObject *map_delete(PyObject *module, PyObject *arguments)
{
	int fd;
	const char *key;
	Py_ssize_t key_size;

	(void)module;
	if (!PyArg_ParseTuple(arguments, "iy#", &fd, &key, &key_size))
		return NULL;
	if (!sizes_fit(fd, key_size, -1))
		return NULL;
	if (!bpf_map_delete_elem(fd, key))
		Py_RETURN_TRUE;
	if (errno == ENOENT)
		Py_RETURN_FALSE;
	return native_error(errno, "delete from map");
}

static PyObject *map_lookup(PyObject *module, PyObject *arguments)
{
	int fd;
	const char *key;
	char *value;
	Py_ssize_t key_size, value_size;
	PyObject *result = NULL;

	(void)module;
	if (!PyArg_ParseTuple(arguments, "iy#n", &fd, &key, &key_size, &value_size))
		return NULL;
	if (!sizes_fit(fd, key_size, value_size))
		return NULL;
	value = calloc(1, (size_t)value_size);
	if (!value)
		return PyErr_NoMemory();
	if (!bpf_map_lookup_elem(fd, key, value))
		result = PyBytes_FromStringAndSize(value, value_size);
	else if (errno == ENOENT)
		result = Py_NewRef(Py_None);
	else
		native_error(errno, "look up in map");
	free(value);
	return result;
}

static PyObject *map_keys(PyObject *module, PyObject *arguments)
{
	int fd;
	Py_ssize_t key_size;
	char *previous = NULL, *next;
	PyObject *list;

	(void)module;
	if (!PyArg_ParseTuple(arguments, "in", &fd, &key_size))
		return NULL;
	if (!sizes_fit(fd, key_size, -1))
		return NULL;
	next = malloc(2 * (size_t)key_size);
	list = PyList_New(0);
	if (!next || !list) {
		free(next);
		Py_XDECREF(list);
		return PyErr_NoMemory();
	}
	while (!bpf_map_get_next_key(fd, previous, next)) {
		PyObject *key = PyBytes_FromStringAndSize(next, key_size);

		if (!key || PyList_Append(list, key)) {
			Py_XDECREF(key);
			Py_CLEAR(list);
			break;
		}
		Py_DECREF(key);
		previous = next + key_size;
		memcpy(previous, next, (size_t)key_size);
	}
	free(next);
	return list;
}

static PyObject *possible_cpus(PyObject *module, PyObject *unused)
{
	int cpus = libbpf_num_possible_cpus();

	(void)module;
	(void)unused;
	return cpus < 0 ? native_error(cpus, "count CPUs") : PyLong_FromLong(cpus);
}

static PyObject *program_missed(PyObject *module, PyObject *arguments)
{
	struct bpf_prog_info info;
	unsigned int size = sizeof(info);
	int fd;

	(void)module;
	if (!PyArg_ParseTuple(arguments, "i", &fd))
		return NULL;
	memset(&info, 0, sizeof(info));
	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return native_error(errno, "read program information");
	return PyLong_FromUnsignedLongLong(info.recursion_misses);
}

PyMethodDef native_map_methods[] = {
	{"map_update", map_update, METH_VARARGS, NULL},
	{"map_delete", map_delete, METH_VARARGS, NULL},
	{"map_lookup", map_lookup, METH_VARARGS, NULL},
	{"map_keys", map_keys, METH_VARARGS, NULL},
	{"possible_cpus", possible_cpus, METH_NOARGS, NULL},
	{"program_missed", program_missed, METH_VARARGS, NULL},
	{NULL, NULL, 0, NULL},
};
