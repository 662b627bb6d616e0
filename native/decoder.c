/* SPDX-License-Identifier: Apache-2.0 */
/* Records out of a buffer: what a recording is read with. */
#include "records.h"
#include <stdlib.h>
#include <string.h>

#define RECORD_MAX (1 << 20) /* one longer than this is damage, not a record to wait for */

struct decoder {
	PyObject_HEAD
	struct identities *identities;
};

static int decoder_init(PyObject *self, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {NULL};
	struct decoder *decoder = (struct decoder *)self;

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "", names))
		return -1;
	if (!decoder->identities)
		decoder->identities = calloc(1, sizeof(*decoder->identities));
	if (!decoder->identities) {
		PyErr_NoMemory();
		return -1;
	}
	return 0;
}

static void decoder_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	free(((struct decoder *)self)->identities);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

static PyObject *decode_buffer(struct decoder *decoder, const uint8_t *bytes, size_t size)
{
	PyObject *list = PyList_New(0);
	size_t done = 0;

	while (list && size - done >= sizeof(struct pt_header)) {
		struct pt_header header;
		int failed;

		memcpy(&header, bytes + done, sizeof(header));
		if (header.version == PT_WIRE_VERSION && header.size > size - done &&
		    header.size <= RECORD_MAX)
			break;
		if (!record_is_whole(bytes + done, size - done)) {
			if (done) /* what stands before the damage is good */
				break;
			PyErr_SetString(PyExc_ValueError, "no record");
			failed = -1;
		} else {
			failed = record_append(list, decoder->identities, bytes + done, header.size,
					       false);
		}
		if (failed) {
			Py_DECREF(list);
			return NULL;
		}
		done += header.size;
	}
	if (!list)
		return NULL;
	return Py_BuildValue("Nn", list, (Py_ssize_t)done);
}

static PyObject *decoder_decode(PyObject *self, PyObject *arguments)
{
	struct decoder *decoder = (struct decoder *)self;
	Py_ssize_t max_bytes = PY_SSIZE_T_MAX;
	Py_buffer buffer;
	PyObject *object, *result;

	if (!PyArg_ParseTuple(arguments, "O|n", &object, &max_bytes))
		return NULL;
	if (!decoder->identities) {
		PyErr_SetString(PyExc_ValueError, "not initialised");
		return NULL;
	}
	if (PyObject_GetBuffer(object, &buffer, PyBUF_SIMPLE))
		return NULL;
	if (max_bytes < 0 || max_bytes > buffer.len)
		max_bytes = buffer.len;
	result = decode_buffer(decoder, buffer.buf, (size_t)max_bytes);
	PyBuffer_Release(&buffer);
	return result;
}

static PyMethodDef decoder_methods[] = {
	{"decode", decoder_decode, METH_VARARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyType_Slot decoder_slots[] = {
	{Py_tp_init, decoder_init},
	{Py_tp_new, PyType_GenericNew},
	{Py_tp_dealloc, decoder_dealloc},
	{Py_tp_methods, decoder_methods},
	{0, NULL},
};

PyType_Spec native_decoder_spec = {
	.name = "plaintap._native.Decoder",
	.basicsize = sizeof(struct decoder),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = decoder_slots,
};
