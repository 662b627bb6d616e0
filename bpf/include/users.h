/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What to look for at the sockets of a process, and for how many of its sessions. */
#ifndef PLAINTAP_USERS_H
#define PLAINTAP_USERS_H

#define USER_HELLOS 1	   /* it makes sessions */
#define USER_RECORDS 2	   /* it has sessions over memory whose ClientHello was not seen */
#define USER_MEMORY 4	   /* it has had sessions over memory */
#define USER_GOROUTINES 16 /* of Go, with sessions whose descriptor is not to be found */
#define USER_VAIN 8 /* not to be looked for: the last session that sought its socket gave up */

/* src/plaintap/runtime/on_demand.py reads it. */
struct user {
	__u32 wants; /* USER_ */
	__u32 seekers; /* sessions that still look for their socket where the library hands its bytes over */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct user);
} pt_users SEC(".maps");

static __always_inline struct user *find_user(__u32 tgid)
{
	return bpf_map_lookup_elem(&pt_users, &tgid);
}

static __always_inline void expect(__u32 tgid, __u32 bits)
{
	struct user *known = find_user(tgid), fresh = {.wants = bits};

	if (!known) {
		/* Of two threads that are first at once, one makes it. */
		if (!bpf_map_update_elem(&pt_users, &tgid, &fresh, BPF_NOEXIST))
			return;
		known = find_user(tgid);
	}
	if (!known)
		count(PT_MAP_FULL, 1);
	else if ((known->wants & bits) != bits) /* other threads need not share the write */
		SET_BITS(&known->wants, bits);
}

/* SSL_new: until it is known how the process carries its bytes. */
static __always_inline void expect_session(__u32 tgid)
{
	if (!find_user(tgid))
		expect(tgid, USER_HELLOS);
}

/* This process lets its libraries use the sockets: nothing to look for. */
static __always_inline void expect_nothing(__u32 tgid)
{
	struct user *known = find_user(tgid);

	if (known && !(known->wants & USER_MEMORY))
		CLEAR_BITS(&known->wants, USER_HELLOS | USER_RECORDS);
}

static __always_inline bool carries_bytes(__u32 tgid)
{
	struct user *known = find_user(tgid);

	return known && known->wants & USER_MEMORY;
}

/* One session more of this process has no socket: its next record is worth noting, if it passes one. */
static __always_inline void add_seeker(__u32 tgid)
{
	struct user *known = find_user(tgid);

	if (!known) {
		expect(tgid, USER_HELLOS);
		known = find_user(tgid);
	}
	if (!known)
		return;
	__sync_fetch_and_add(&known->seekers, 1);
	if (known->wants & USER_MEMORY)
		SET_BITS(&known->wants, USER_RECORDS);
}

/* With the last one the records of the process are no longer noted. */
static __always_inline void remove_seeker(__u32 tgid, bool in_vain)
{
	struct user *known = find_user(tgid);

	if (!known || !known->seekers) /* another program's, or evicted */
		return;
	__sync_fetch_and_add(&known->seekers, -1);
	if (in_vain)
		SET_BITS(&known->wants, USER_VAIN);
	else if (known->wants & USER_VAIN)
		CLEAR_BITS(&known->wants, USER_VAIN);
	if (!known->seekers)
		CLEAR_BITS(&known->wants, USER_RECORDS);
}

#endif
