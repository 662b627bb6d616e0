/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets from their ring straight into blocks of a pcapng file: Enhanced Packet Blocks, with the
 * processes at both ends in a comment (draft-ietf-opsawg-pcapng, sections 4.3 and 3.5). Which file,
 * when, and every other block is Python's.
 */
#include "datagrams.h"
#include "native.h"
#include "ringmap.h"
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <linux/types.h>
#include <netinet/in.h>
#include <unistd.h>
#include "packet.h"

#define EPB_TYPE 6
#define EPB_HEAD 28
#define OPT_COMMENT 1
#define EPB_FLAGS 2
#define EPB_PACKETID 5
#define EPB_INBOUND 1
#define EPB_OUTBOUND 2
#define VLAN_AT 12
#define VLAN_TAG 4
#define COMMENT_MAX 128
#define BLOCK_MORE (COMMENT_MAX + 128)
#define BLOCKS_MAX (PT_PACKET_MAX + DATAGRAMS_MAX * (DATAGRAM_HEAD_MAX + BLOCK_MORE))
#define BUFFER_SIZE (1 << 18)
#define INTERFACES_MAX 4096
#define ETHER_HEADER 14
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define IPV6_HEADER 40
#define UDP_HEADER 8
#define TLS_CHANGE_CIPHER_SPEC 20
#define TLS_HANDSHAKE 22
#define TLS_MAJOR 3
#define DTLS_MAJOR 0xfe
#define QUIC_LONG_HEADER 0xc0 /* RFC 9000, 17.2: the header's form, and a bit that is always set */
#define COMMENTS 64	      /* a power of two */

struct interface {
	uint32_t ifindex;
	uint32_t number;
	bool both_ways; /* a loopback device, whose packets come in as they go out */
	bool ethernet;	/* or no link header */
};

struct comment {
	struct pt_process sender, receiver;
	uint32_t length;
	char text[COMMENT_MAX];
};

struct packet_ring {
	PyObject_HEAD
	struct ring_map map;
	int flows_fd;
	uint32_t interface_count;
	struct interface *interfaces;
	struct comment *comments;
	struct pt_packet *datagram;
	uint8_t *buffer;
	size_t filled;
};

/* What one call of write is asked, and did. */
struct writing {
	int fd; /* -1 only counts */
	uint64_t until_ns;
	uint64_t clock_offset_ns;
	unsigned long most_waiting;
	uint64_t max_bytes;
	bool only_wanted;
	uint64_t bytes, packets, unwanted, packet_id;
};

static int packet_ring_init(PyObject *self, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"map_fd", "size", "flows_fd", NULL};
	struct packet_ring *ring = (struct packet_ring *)self;
	Py_ssize_t size;
	int fd, error;

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "ini", names, &fd, &size,
					 &ring->flows_fd))
		return -1;
	if (ring->buffer) {
		PyErr_SetString(PyExc_RuntimeError, "initialised twice");
		return -1;
	}
	ring->buffer = malloc(BUFFER_SIZE + BLOCKS_MAX);
	ring->datagram = malloc(sizeof(*ring->datagram) + PT_PACKET_MAX);
	ring->comments = calloc(COMMENTS, sizeof(*ring->comments));
	ring->interfaces = calloc(INTERFACES_MAX, sizeof(*ring->interfaces));
	if (!ring->buffer || !ring->datagram || !ring->comments || !ring->interfaces) {
		PyErr_NoMemory();
		return -1;
	}
	error = ring_map_open(&ring->map, fd, (size_t)size);
	if (error) {
		native_error(error, "map ring");
		return -1;
	}
	return 0;
}

static PyObject *packet_ring_close(PyObject *self, PyObject *unused)
{
	(void)unused;
	ring_map_close(&((struct packet_ring *)self)->map);
	Py_RETURN_NONE;
}

static void packet_ring_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	struct packet_ring *ring = (struct packet_ring *)self;

	ring_map_close(&ring->map);
	free(ring->buffer);
	free(ring->datagram);
	free(ring->comments);
	free(ring->interfaces);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

static PyObject *packet_ring_set_interface(PyObject *self, PyObject *arguments)
{
	struct packet_ring *ring = (struct packet_ring *)self;
	struct interface given;
	int both_ways, ethernet;
	uint32_t i;

	if (!PyArg_ParseTuple(arguments, "IIpp", &given.ifindex, &given.number, &both_ways,
			      &ethernet))
		return NULL;
	given.both_ways = both_ways;
	given.ethernet = ethernet;
	for (i = 0; i < ring->interface_count && ring->interfaces[i].ifindex != given.ifindex; i++)
		;
	if (i == INTERFACES_MAX) {
		PyErr_SetString(PyExc_ValueError, "too many interfaces");
		return NULL;
	}
	ring->interfaces[i] = given;
	if (i == ring->interface_count)
		ring->interface_count++;
	Py_RETURN_NONE;
}

static const struct interface *find_interface(const struct packet_ring *ring, uint32_t ifindex)
{
	for (uint32_t i = 0; i < ring->interface_count; i++)
		if (ring->interfaces[i].ifindex == ifindex)
			return &ring->interfaces[i];
	return NULL;
}

static void find_owner(const struct packet_ring *ring, struct pt_process *owner,
		       const struct pt_flow *flow)
{
	struct pt_process found;

	if (bpf_map_lookup_elem(ring->flows_fd, flow, &found))
		return;
	found.noted = 0;
	*owner = found;
}

/* Who has the ends, by now: a connection's first packets come before anybody has accepted it. */
static void settle_owners(const struct packet_ring *ring, const struct pt_packet *packet,
			  struct pt_process *sender, struct pt_process *receiver)
{
	struct pt_flow reversed = {
		.local_port = packet->flow.remote_port,
		.remote_port = packet->flow.local_port,
		.protocol = packet->flow.protocol,
	};

	*sender = packet->sender;
	*receiver = packet->receiver;
	sender->noted = receiver->noted = 0;
	if (!(packet->flags & PT_PACKET_PROVISIONAL))
		return;
	memcpy(reversed.local, packet->flow.remote, sizeof(reversed.local));
	memcpy(reversed.remote, packet->flow.local, sizeof(reversed.remote));
	find_owner(ring, sender, &packet->flow);
	find_owner(ring, receiver, &reversed);
}

/* A process may call itself anything; what is not plain ASCII could break the text of a comment. */
static int say_owner(char *text, const char *before, const struct pt_process *owner)
{
	char comm[PT_PACKET_COMM];
	size_t i;

	memcpy(comm, owner->comm, sizeof(comm));
	comm[sizeof(comm) - 1] = 0;
	for (i = 0; comm[i]; i++)
		if (comm[i] < ' ' || comm[i] > '~')
			comm[i] = '?';
	return snprintf(text, COMMENT_MAX / 2, "%spid=%u comm=%s uid=%u", before, owner->pid, comm,
			owner->uid);
}

static const struct comment *comment_on(struct packet_ring *ring, const struct pt_process *sender,
					const struct pt_process *receiver)
{
	uint32_t slot = (sender->pid * 31 + receiver->pid) & (COMMENTS - 1);
	struct comment *comment = &ring->comments[slot];
	char *text = comment->text;

	if (!memcmp(&comment->sender, sender, sizeof(*sender)) &&
	    !memcmp(&comment->receiver, receiver, sizeof(*receiver)))
		return comment;
	comment->sender = *sender;
	comment->receiver = *receiver;
	memset(text, 0, sizeof(comment->text));
	if (sender->pid)
		text += say_owner(text, "", sender);
	if (receiver->pid && receiver->pid != sender->pid)
		text += say_owner(text, sender->pid ? "; " : "", receiver);
	comment->length = (uint32_t)(text - comment->text);
	return comment;
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

/* Padded to 32 bits, as all there is in the file. */
static uint8_t *put_bytes(uint8_t *at, const void *data, uint32_t length)
{
	uint32_t padding = -length & 3;

	memcpy(at, data, length);
	memset(at + length, 0, padding);
	return at + length + padding;
}

static uint8_t *put_option(uint8_t *at, uint16_t code, const void *value, uint16_t length)
{
	return put_bytes(put32(at, code | (uint32_t)length << 16), value, length);
}

/* The bytes as on the wire: the kernel keeps the tag of the outer VLAN beside the packet. */
static uint8_t *put_data(uint8_t *at, const struct pt_packet *packet, bool tagged)
{
	uint8_t tag[VLAN_TAG] = {packet->vlan_proto >> 8, packet->vlan_proto & 255,
				 packet->vlan_tci >> 8, packet->vlan_tci & 255};

	if (!tagged)
		return put_bytes(at, packet->data, packet->captured);
	memcpy(at, packet->data, VLAN_AT);
	memcpy(at + VLAN_AT, tag, VLAN_TAG);
	return put_bytes(at + VLAN_AT + VLAN_TAG, packet->data + VLAN_AT,
			 packet->captured - VLAN_AT);
}

static void put_packet(struct packet_ring *ring, struct writing *writing,
		       const struct pt_packet *packet, const struct interface *interface,
		       const struct comment *comment)
{
	uint64_t ts_ns = packet->ts_ns + writing->clock_offset_ns;
	uint32_t direction = packet->flags & PT_PACKET_OUT ? EPB_OUTBOUND : EPB_INBOUND;
	uint8_t *start = ring->buffer + ring->filled, *at = start;
	bool tagged = packet->flags & PT_PACKET_VLAN && packet->captured >= VLAN_AT;
	uint32_t more = tagged ? VLAN_TAG : 0, size;

	at = put32(at, EPB_TYPE);
	at = put32(at, 0); /* its length, below */
	at = put32(at, interface->number);
	at = put32(at, ts_ns >> 32);
	at = put32(at, (uint32_t)ts_ns);
	at = put32(at, packet->captured + more);
	at = put32(at, packet->length + more);
	at = put_data(at, packet, tagged);
	if (comment->length)
		at = put_option(at, OPT_COMMENT, comment->text, comment->length);
	if (!interface->both_ways)
		at = put_option(at, EPB_FLAGS, &direction, sizeof(direction));
	writing->packet_id++;
	at = put_option(at, EPB_PACKETID, &writing->packet_id, sizeof(writing->packet_id));
	at = put32(at, 0); /* end of options */
	size = (uint32_t)(at - start) + 4;
	at = put32(at, size);
	put32(start + 4, size);
	ring->filled += size;
}

/* After a failed write: the file ends behind the last of the blocks that it holds whole. */
static void keep_whole_blocks(const struct packet_ring *ring, int fd, off_t start, size_t written)
{
	size_t whole = 0;
	uint32_t size;

	while (whole < ring->filled) {
		memcpy(&size, ring->buffer + whole + 4, sizeof(size));
		if (whole + size > written)
			break;
		whole += size;
	}
	if (start >= 0 && !ftruncate(fd, start + (off_t)whole))
		lseek(fd, start + (off_t)whole, SEEK_SET);
}

/* An error number, or 0. */
static int flush(struct packet_ring *ring, struct writing *writing)
{
	off_t start = lseek(writing->fd, 0, SEEK_CUR);
	size_t written = 0;

	while (written < ring->filled) {
		ssize_t now = write(writing->fd, ring->buffer + written, ring->filled - written);

		if (now < 0 && errno == EINTR)
			continue;
		if (now < 0) {
			int error = errno;

			keep_whole_blocks(ring, writing->fd, start, written);
			ring->filled = 0;
			return error;
		}
		written += (size_t)now;
	}
	writing->bytes += ring->filled;
	ring->filled = 0;
	return 0;
}

static uint32_t short_at(const struct pt_packet *packet, uint32_t at)
{
	return (uint32_t)packet->data[at] << 8 | packet->data[at + 1];
}

/* Where the header behind those of the link begins, and whether that is IPv4's; 0 behind the end. */
static uint32_t network_header(const struct pt_packet *packet, bool ethernet, bool *ipv4)
{
	uint32_t at = ETHER_HEADER, type;

	if (!ethernet) {
		*ipv4 = packet->captured && packet->data[0] >> 4 == 4;
		return 0;
	}
	for (;;) {
		if (at > packet->captured)
			return packet->captured;
		type = short_at(packet, at - 2);
		if (type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ)
			break;
		at += VLAN_TAG;
	}
	*ipv4 = type == ETHERTYPE_IPV4;
	return at;
}

static bool is_tunnel(const struct pt_flow *flow)
{
	static const uint16_t ports[] = {4789, 6081, 8472}; /* VXLAN, Geneve, VXLAN of Linux */

	if (flow->protocol != IPPROTO_UDP)
		return false;
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (flow->remote_port == ports[i])
			return true;
	return false;
}

/*
 * Whether secrets may be needed from this packet on which are only known a moment after it: it begins
 * with a record of a handshake (TLS, DTLS), or is of a QUIC handshake. What is neither TCP nor UDP,
 * and tunnels, may carry another connection's packets.
 */
static bool may_need_secrets(const struct pt_packet *packet, bool ethernet)
{
	bool ipv4 = false, udp = packet->flow.protocol == IPPROTO_UDP;
	uint32_t at = network_header(packet, ethernet, &ipv4);
	const uint8_t *data = packet->data;

	if (!packet->flow.protocol || is_tunnel(&packet->flow) || at >= packet->captured)
		return true;
	at += ipv4 ? (data[at] & 15u) * 4 : IPV6_HEADER;
	if (at + 13 > packet->captured)
		return !udp || packet->captured < packet->length;
	at += udp ? UDP_HEADER : (data[at + 12] >> 4) * 4u;
	if (at + 2 > packet->captured)
		return packet->captured < packet->length; /* else there is no payload */
	if (udp && (data[at] & QUIC_LONG_HEADER) == QUIC_LONG_HEADER)
		return true;
	return (data[at] == TLS_CHANGE_CIPHER_SPEC || data[at] == TLS_HANDSHAKE) &&
	       data[at + 1] == (udp ? DTLS_MAJOR : TLS_MAJOR);
}

/* Whether it is better written a moment later: with its secrets before it, and its owners known. */
static bool should_wait(const struct packet_ring *ring, const struct pt_packet *packet)
{
	const struct interface *interface = find_interface(ring, packet->ifindex);

	return packet->flags & PT_PACKET_PROVISIONAL ||
	       (interface && may_need_secrets(packet, interface->ethernet));
}

static void put_each(struct packet_ring *ring, struct writing *writing,
		     const struct pt_packet *packet, const struct interface *interface,
		     const struct pt_process *sender, const struct pt_process *receiver)
{
	struct datagrams datagrams = datagrams_of(packet, ring->datagram);

	while ((packet = next_datagram(&datagrams))) {
		writing->packets++;
		if (writing->fd >= 0)
			put_packet(ring, writing, packet, interface,
				   comment_on(ring, sender, receiver));
	}
}

static void take_packet(struct packet_ring *ring, struct writing *writing,
			const struct pt_packet *packet)
{
	const struct interface *interface = find_interface(ring, packet->ifindex);
	struct pt_process sender, receiver;

	settle_owners(ring, packet, &sender, &receiver);
	if (writing->only_wanted && sender.wanted != PT_WANTED && receiver.wanted != PT_WANTED)
		writing->unwanted++;
	else if (interface)
		put_each(ring, writing, packet, interface, &sender, &receiver);
}

static bool is_whole(const struct pt_packet *packet, uint32_t length)
{
	return length >= sizeof(*packet) && packet->captured <= PT_PACKET_MAX &&
	       sizeof(*packet) + packet->captured <= length;
}

/* Writes what is due; an error number, or 0. Space in the ring is given back as the file has it. */
static int write_due(struct packet_ring *ring, struct writing *writing)
{
	unsigned long position = *ring->map.consumer;
	unsigned long most = writing->most_waiting;
	const uint8_t *record;
	uint32_t length;
	int error = 0;

	/* Once there are too many, half of them go: one by one would cost a wake-up each. */
	if (__atomic_load_n(ring->map.producer, __ATOMIC_ACQUIRE) - position > most)
		most /= 2;

	while (!error && writing->bytes + ring->filled < writing->max_bytes &&
	       ring_record_at(&ring->map, position, &record, &length)) {
		const struct pt_packet *packet = (const struct pt_packet *)record;
		unsigned long waiting =
			__atomic_load_n(ring->map.producer, __ATOMIC_ACQUIRE) - position;

		if (!(length & RECORD_DISCARDED) && is_whole(packet, length)) {
			if (packet->ts_ns >= writing->until_ns && waiting <= most &&
			    should_wait(ring, packet))
				break;
			take_packet(ring, writing, packet);
		}
		position = ring_after_record(position, length);
		if (ring->filled < BUFFER_SIZE)
			continue;
		error = flush(ring, writing);
		__atomic_store_n(ring->map.consumer, position, __ATOMIC_RELEASE);
	}
	if (!error && ring->filled)
		error = flush(ring, writing);
	__atomic_store_n(ring->map.consumer, position, __ATOMIC_RELEASE);
	return error;
}

static PyObject *packet_ring_write(PyObject *self, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"fd",	     "until_ns",    "clock_offset_ns", "most_waiting",
				"max_bytes", "only_wanted", "packet_id",       NULL};
	struct packet_ring *ring = (struct packet_ring *)self;
	struct writing writing = {0};
	unsigned long long until, offset, most_bytes, id;
	int only_wanted, error;

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "iKKkKpK", names, &writing.fd, &until,
					 &offset, &writing.most_waiting, &most_bytes, &only_wanted,
					 &id))
		return NULL;
	if (!ring->map.consumer) {
		PyErr_SetString(PyExc_ValueError, "the ring is closed");
		return NULL;
	}
	writing.until_ns = until;
	writing.clock_offset_ns = offset;
	writing.max_bytes = most_bytes;
	writing.only_wanted = only_wanted;
	writing.packet_id = id;
	Py_BEGIN_ALLOW_THREADS
	error = write_due(ring, &writing);
	Py_END_ALLOW_THREADS
	return Py_BuildValue("KKKi", writing.bytes, writing.packets, writing.unwanted, error);
}

static PyObject *packet_ring_wait(PyObject *self, PyObject *arguments)
{
	struct packet_ring *ring = (struct packet_ring *)self;
	int timeout_ms;

	if (!PyArg_ParseTuple(arguments, "i", &timeout_ms))
		return NULL;
	if (ring->map.consumer && ring_map_wait(&ring->map, timeout_ms))
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *packet_ring_waiting(PyObject *self, PyObject *unused)
{
	const struct packet_ring *ring = (struct packet_ring *)self;

	(void)unused;
	if (!ring->map.consumer)
		return PyLong_FromLong(0);
	return PyLong_FromUnsignedLong(__atomic_load_n(ring->map.producer, __ATOMIC_ACQUIRE) -
				       *ring->map.consumer);
}

static PyMethodDef packet_ring_methods[] = {
	{"set_interface", packet_ring_set_interface, METH_VARARGS, NULL},
	{"write", (PyCFunction)(void (*)(void))packet_ring_write, METH_VARARGS | METH_KEYWORDS,
	 NULL},
	{"wait", packet_ring_wait, METH_VARARGS, NULL},
	{"waiting_bytes", packet_ring_waiting, METH_NOARGS, NULL},
	{"close", packet_ring_close, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyType_Slot packet_ring_slots[] = {
	{Py_tp_init, packet_ring_init},
	{Py_tp_new, PyType_GenericNew},
	{Py_tp_dealloc, packet_ring_dealloc},
	{Py_tp_methods, packet_ring_methods},
	{0, NULL},
};

PyType_Spec native_packet_ring_spec = {
	.name = "plaintap._native.PacketRing",
	.basicsize = sizeof(struct packet_ring),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = packet_ring_slots,
};
