/* SPDX-License-Identifier: Apache-2.0 */
/* BPF objects: opened from bytes, configured, loaded. */
#include "native.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

struct object {
	PyObject_HEAD
	struct bpf_object *bpf;
};

static int object_init(PyObject *self, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"image", "name", NULL};
	struct object *object = (struct object *)self;
	const char *image, *name;
	Py_ssize_t size;
	struct bpf_object_open_opts options = {.sz = sizeof(options)};

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "y#s", names, &image, &size, &name))
		return -1;
	if (object->bpf) {
		PyErr_SetString(PyExc_RuntimeError, "initialised twice");
		return -1;
	}
	native_log_reset();
	options.object_name = name;
	object->bpf = bpf_object__open_mem(image, (size_t)size, &options);
	if (!object->bpf) {
		native_error(errno, "open object");
		return -1;
	}
	return 0;
}

static PyObject *object_close(PyObject *self, PyObject *unused)
{
	struct object *object = (struct object *)self;

	(void)unused;
	bpf_object__close(object->bpf);
	object->bpf = NULL;
	Py_RETURN_NONE;
}

static void object_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	bpf_object__close(((struct object *)self)->bpf);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

static struct bpf_map *find_map(PyObject *self, const char *name)
{
	struct object *object = (struct object *)self;
	struct bpf_map *map = object->bpf ? bpf_object__find_map_by_name(object->bpf, name) : NULL;

	if (!map)
		PyErr_Format(PyExc_KeyError, "no map %s", name);
	return map;
}

static struct bpf_program *find_program(PyObject *self, const char *name)
{
	struct object *object = (struct object *)self;
	struct bpf_program *program =
		object->bpf ? bpf_object__find_program_by_name(object->bpf, name) : NULL;

	if (!program)
		PyErr_Format(PyExc_KeyError, "no program %s", name);
	return program;
}

static PyObject *none_or_error(int error, const char *operation)
{
	if (error)
		return native_error(error, operation);
	Py_RETURN_NONE;
}

static PyObject *object_set_max_entries(PyObject *self, PyObject *arguments)
{
	const char *name;
	unsigned int entries;
	struct bpf_map *map;

	if (!PyArg_ParseTuple(arguments, "sI", &name, &entries))
		return NULL;
	map = find_map(self, name);
	return map ? none_or_error(bpf_map__set_max_entries(map, entries), "size map") : NULL;
}

static PyObject *object_set_initial(PyObject *self, PyObject *arguments)
{
	const char *name, *value;
	Py_ssize_t size;
	struct bpf_map *map;

	if (!PyArg_ParseTuple(arguments, "sy#", &name, &value, &size))
		return NULL;
	map = find_map(self, name);
	if (!map)
		return NULL;
	return none_or_error(bpf_map__set_initial_value(map, value, (size_t)size), "set constants");
}

static PyObject *object_set_autoload(PyObject *self, PyObject *arguments)
{
	const char *name;
	int on;
	struct bpf_program *program;

	if (!PyArg_ParseTuple(arguments, "sp", &name, &on))
		return NULL;
	program = find_program(self, name);
	return program ? none_or_error(bpf_program__set_autoload(program, on), "set autoload") :
			 NULL;
}

static PyObject *object_set_attach_type(PyObject *self, PyObject *arguments)
{
	const char *name;
	int type;
	struct bpf_program *program;

	if (!PyArg_ParseTuple(arguments, "si", &name, &type))
		return NULL;
	program = find_program(self, name);
	if (!program)
		return NULL;
	return none_or_error(bpf_program__set_expected_attach_type(program,
								   (enum bpf_attach_type)type),
			     "set attach type");
}

static PyObject *object_reuse_map(PyObject *self, PyObject *arguments)
{
	const char *name;
	int fd;
	struct bpf_map *map;

	if (!PyArg_ParseTuple(arguments, "si", &name, &fd))
		return NULL;
	map = find_map(self, name);
	return map ? none_or_error(bpf_map__reuse_fd(map, fd), "share map") : NULL;
}

static PyObject *object_load(PyObject *self, PyObject *unused)
{
	struct object *object = (struct object *)self;

	(void)unused;
	if (!object->bpf) {
		PyErr_SetString(PyExc_ValueError, "the object is closed");
		return NULL;
	}
	native_log_reset();
	return none_or_error(bpf_object__load(object->bpf), "load programs");
}

static PyObject *object_map_fd(PyObject *self, PyObject *arguments)
{
	const char *name;
	struct bpf_map *map;

	if (!PyArg_ParseTuple(arguments, "s", &name))
		return NULL;
	map = find_map(self, name);
	return map ? PyLong_FromLong(bpf_map__fd(map)) : NULL;
}

static PyObject *object_program_fd(PyObject *self, PyObject *arguments)
{
	const char *name;
	struct bpf_program *program;

	if (!PyArg_ParseTuple(arguments, "s", &name))
		return NULL;
	program = find_program(self, name);
	return program ? PyLong_FromLong(bpf_program__fd(program)) : NULL;
}

static PyMethodDef object_methods[] = {
	{"set_max_entries", object_set_max_entries, METH_VARARGS, NULL},
	{"set_initial", object_set_initial, METH_VARARGS, NULL},
	{"set_autoload", object_set_autoload, METH_VARARGS, NULL},
	{"set_attach_type", object_set_attach_type, METH_VARARGS, NULL},
	{"reuse_map", object_reuse_map, METH_VARARGS, NULL},
	{"load", object_load, METH_NOARGS, NULL},
	{"map_fd", object_map_fd, METH_VARARGS, NULL},
	{"program_fd", object_program_fd, METH_VARARGS, NULL},
	{"close", object_close, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyType_Slot object_slots[] = {
	{Py_tp_init, object_init},
	{Py_tp_new, PyType_GenericNew},
	{Py_tp_dealloc, object_dealloc},
	{Py_tp_methods, object_methods},
	{0, NULL},
};

PyType_Spec native_object_spec = {
	.name = "plaintap._native.Object",
	.basicsize = sizeof(struct object),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = object_slots,
};
