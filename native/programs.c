/* SPDX-License-Identifier: Apache-2.0 */
/* Programs made of instructions that Python wrote: packet filters. */
#include "native.h"
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>

static PyObject *load_packet_program(PyObject *module, PyObject *arguments)
{
	const char *instructions;
	Py_ssize_t size;
	int fd;

	(void)module;
	if (!PyArg_ParseTuple(arguments, "y#", &instructions, &size))
		return NULL;
	fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "pt_filter", "GPL",
			   (const struct bpf_insn *)instructions,
			   (size_t)size / sizeof(struct bpf_insn), NULL);
	return fd < 0 ? native_error(fd, "load a packet filter") : PyLong_FromLong(fd);
}

static PyObject *run_packet_program(PyObject *module, PyObject *arguments)
{
	const char *packet;
	Py_ssize_t size;
	LIBBPF_OPTS(bpf_test_run_opts, options, .repeat = 1);
	int program_fd, error;

	(void)module;
	if (!PyArg_ParseTuple(arguments, "iy#", &program_fd, &packet, &size))
		return NULL;
	options.data_in = packet;
	options.data_size_in = (uint32_t)size;
	error = bpf_prog_test_run_opts(program_fd, &options);
	return error ? native_error(error, "run a packet filter") :
		       PyLong_FromLong((int)options.retval);
}

PyMethodDef native_program_methods[] = {
	{"load_packet_program", load_packet_program, METH_VARARGS, NULL},
	{"run_packet_program", run_packet_program, METH_VARARGS, NULL},
	{NULL, NULL, 0, NULL},
};
