/* SPDX-License-Identifier: Apache-2.0 */
/* The module itself: its types, its functions, its one exception. */
#include "native.h"
#include <bpf/libbpf.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static PyObject *native_error_type;
static char native_log[1 << 16];
static size_t native_log_length;

/* Keeps the end of what libbpf says: the telling lines of a verifier's log are the last ones. */
static int keep_log(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char *text;
	int written;
	size_t length, keep;

	if (level == LIBBPF_DEBUG || (written = vasprintf(&text, format, arguments)) < 0)
		return 0;
	length = (size_t)written;
	if (length >= sizeof(native_log)) {
		memcpy(native_log, text + length - sizeof(native_log) + 1, sizeof(native_log));
		native_log_length = sizeof(native_log) - 1;
	} else {
		keep = sizeof(native_log) - 1 - length;
		if (native_log_length > keep) {
			memmove(native_log, native_log + native_log_length - keep, keep);
			native_log_length = keep;
		}
		memcpy(native_log + native_log_length, text, length + 1);
		native_log_length += length;
	}
	free(text);
	return written;
}

void native_log_reset(void)
{
	native_log_length = 0;
	native_log[0] = 0;
}

PyObject *native_error(int error, const char *operation)
{
	PyObject *exception, *name, *log;

	if (error < 0)
		error = -error;
	exception = PyObject_CallFunction(native_error_type, "is", error, strerror(error));
	name = PyUnicode_FromString(operation);
	log = PyUnicode_DecodeUTF8(native_log, (Py_ssize_t)native_log_length, "replace");
	native_log_reset();
	if (exception && name && log && !PyObject_SetAttrString(exception, "operation", name) &&
	    !PyObject_SetAttrString(exception, "log", log))
		PyErr_SetObject(native_error_type, exception);
	Py_XDECREF(exception);
	Py_XDECREF(name);
	Py_XDECREF(log);
	return NULL;
}

static int add_type(PyObject *module, PyType_Spec *spec, const char *name)
{
	PyObject *type = PyType_FromSpec(spec);
	int result;

	if (!type)
		return -1;
	result = PyModule_AddObjectRef(module, name, type);
	Py_DECREF(type);
	return result;
}

/*
 * A batch's payloads are freed together; by default glibc then gives the memory back, and asks for
 * it again with the next batch: 8-11 us a payload.
 */
static PyObject *keep_freed_memory(PyObject *module, PyObject *arguments)
{
	int bytes;

	(void)module;
	if (!PyArg_ParseTuple(arguments, "i", &bytes))
		return NULL;
	mallopt(M_TRIM_THRESHOLD, bytes);
	mallopt(M_MMAP_THRESHOLD, bytes);
	Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
	{"keep_freed_memory", keep_freed_memory, METH_VARARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *module)
{
	libbpf_set_print(keep_log);
	native_error_type = PyErr_NewException("plaintap._native.NativeError", PyExc_OSError, NULL);
	if (!native_error_type || PyModule_AddObjectRef(module, "NativeError", native_error_type) ||
	    PyModule_AddFunctions(module, module_methods) ||
	    PyModule_AddFunctions(module, native_link_methods) ||
	    PyModule_AddFunctions(module, native_map_methods) ||
	    PyModule_AddFunctions(module, native_program_methods))
		return -1;
	return add_type(module, &native_object_spec, "Object") ||
			       add_type(module, &native_ring_spec, "Ring") ||
			       add_type(module, &native_decoder_spec, "Decoder") ||
			       add_type(module, &native_map_watch_spec, "MapWatch") ||
			       add_type(module, &native_packet_ring_spec, "PacketRing") ?
		       -1 :
		       0;
}

static PyModuleDef_Slot module_slots[] = {
	{Py_mod_exec, module_exec},
	{0, NULL},
};

static struct PyModuleDef module_definition = {
	.m_base = PyModuleDef_HEAD_INIT,
	.m_name = "_native",
	.m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
	return PyModuleDef_Init(&module_definition);
}
