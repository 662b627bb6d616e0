/* SPDX-License-Identifier: Apache-2.0 */
#include "records.h"
#include <string.h>

static int append_tuple(PyObject *list, uint64_t session, long direction, uint64_t offset,
			uint64_t ts_ns, PyObject *data, uint32_t tid)
{
	PyObject *tuple = data ? PyTuple_New(6) : NULL;
	int result;

	if (!tuple) {
		Py_XDECREF(data);
		return -1;
	}
	PyTuple_SetItem(tuple, 0, PyLong_FromUnsignedLongLong(session));
	PyTuple_SetItem(tuple, 1, PyLong_FromLong(direction));
	PyTuple_SetItem(tuple, 2, PyLong_FromUnsignedLongLong(offset));
	PyTuple_SetItem(tuple, 3, PyLong_FromUnsignedLongLong(ts_ns));
	PyTuple_SetItem(tuple, 4, data);
	PyTuple_SetItem(tuple, 5, PyLong_FromUnsignedLong(tid));
	result = PyErr_Occurred() ? -1 : PyList_Append(list, tuple);
	Py_DECREF(tuple);
	return result;
}

static int append_fact(PyObject *list, int kind, const void *record, size_t size)
{
	const struct pt_header *header = record;

	return append_tuple(list, 0, kind, 0, kind ? header->ts_ns : 0,
			    PyBytes_FromStringAndSize(record, (Py_ssize_t)size),
			    kind ? header->tid : 0);
}

/* FNV-1a by words over what a SessionSeen tells, from `uid` to the end of the socket. */
static uint64_t identity_hash(const struct pt_data *data)
{
	const uint8_t *bytes = (const uint8_t *)data->comm;
	size_t size = sizeof(data->comm) + sizeof(data->socket);
	uint64_t hash = 14695981039346656037ULL ^ data->uid ^ (uint64_t)data->library << 32;

	for (size_t i = 0; i + 8 <= size; i += 8) {
		uint64_t word;

		memcpy(&word, bytes + i, 8);
		hash = (hash ^ word) * 1099511628211ULL;
	}
	return hash;
}

static bool identity_is_new(struct identities *identities, const struct pt_data *data)
{
	size_t slot = (data->session * 11400714819323198485ULL) >> (64 - IDENTITY_BITS);
	uint64_t hash = identity_hash(data);

	if (identities->session[slot] == data->session && identities->hash[slot] == hash)
		return false;
	identities->session[slot] = data->session;
	identities->hash[slot] = hash;
	return true;
}

bool record_is_whole(const uint8_t *record, size_t size)
{
	const struct pt_header *header = (const struct pt_header *)record;
	const struct pt_data *data = (const struct pt_data *)record;

	if (size < sizeof(*header) || header->version != PT_WIRE_VERSION || header->size > size ||
	    header->size < sizeof(*header))
		return false;
	if (header->kind != PT_DATA)
		return true;
	return header->size >= sizeof(*data) && header->size == sizeof(*data) + data->length &&
	       data->direction <= PT_WRITE && data->session;
}

static int append_data(PyObject *list, const struct pt_data *data)
{
	PyObject *payload = PyBytes_FromStringAndSize((const char *)(data + 1), data->length);

	return append_tuple(list, data->session, data->direction, data->offset, data->header.ts_ns,
			    payload, data->header.tid);
}

int record_append(PyObject *list, struct identities *identities, const uint8_t *record, size_t room,
		  bool only_facts)
{
	const struct pt_data *data = (const struct pt_data *)record;

	if (!record_is_whole(record, room))
		return append_fact(list, 0, record, room);
	if (data->header.kind != PT_DATA)
		return append_fact(list, data->header.kind, record, data->header.size);
	if (identity_is_new(identities, data) && append_fact(list, PT_DATA, record, sizeof(*data)))
		return -1;
	return only_facts ? 0 : append_data(list, data);
}
