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
	__u8 plaintext;	    /* what calls move is sent */
	__u8 secrets;	    /* what decrypts the connections is sent */
	__u8 pad[2];
	char comm[PT_COMM_SIZE];
};

/*
 * `running` is set by user space once every probe is in place and cleared before the first is taken
 * out, since neither happens at one moment: no call is seen by half, and both directions begin and
 * end together.
 */
#ifdef PT_LESS52
struct pt_settings {
	struct pt_config config;
	__u32 running;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pt_settings);
} pt_settings SEC(".maps");

static __always_inline const struct pt_settings *settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&pt_settings, &zero);
}

#define SETTING(field)                                                                             \
	({                                                                                         \
		const struct pt_settings *set_ = settings();                                       \
		set_ ? set_->config.field : 0;                                                     \
	})

static __always_inline bool is_running(void)
{
	const struct pt_settings *set = settings();

	return set && set->running;
}
#else
const volatile struct pt_config config SEC(".rodata.config") = {};
volatile __u32 running = 0;

#define SETTING(field) (config.field)

static __always_inline bool is_running(void)
{
	return running;
}
#endif

#endif
