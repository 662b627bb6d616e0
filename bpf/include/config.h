/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What user space decides before loading. src/plaintap/runtime/kernel_config.py packs the same
 * bytes; the verifier removes the code of what is off.
 */
#ifndef PLAINTAP_CONFIG_H
#define PLAINTAP_CONFIG_H

struct pt_config {
	__u32 self_tgid;      /* never captured */
	__u32 uid;	      /* when filter_uid */
	__u32 wake_bytes;     /* wake the reader when the ring holds about this much */
	__u32 ceiling_chunks; /* at most this many chunks of one call are sent */
	__u8 filter_pid;      /* only pids in `pids` */
	__u8 filter_uid;
	__u8 filter_comm;
	__u8 filter_cgroup; /* only below the cgroup in `cgroups` */
	__u8 pad[4];
	char comm[PT_COMM_SIZE];
};

extern const volatile struct pt_config config;

/*
 * Set by user space once every probe is in place and cleared before the first is taken out, since
 * neither happens at one moment: no call is seen by half, and both directions begin and end
 * together.
 */
extern volatile __u32 running;

#endif
