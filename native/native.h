/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native extension: BPF objects, links, maps, rings. It is documented by
 * src/plaintap/_native.pyi; policy is Python's.
 */
#ifndef PLAINTAP_NATIVE_H
#define PLAINTAP_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

/* Raises NativeError(errno, operation, log); always returns NULL. */
PyObject *native_error(int error, const char *operation);
/* The text libbpf printed since the last call of this. */
void native_log_reset(void);

extern PyMethodDef native_link_methods[];
extern PyMethodDef native_map_methods[];
extern PyMethodDef native_program_methods[];
extern PyType_Spec native_object_spec;
extern PyType_Spec native_ring_spec;
extern PyType_Spec native_decoder_spec;
extern PyType_Spec native_map_watch_spec;
extern PyType_Spec native_packet_ring_spec;

#endif
