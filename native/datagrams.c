/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sender of UDP may hand the kernel many datagrams as one (UDP_SEGMENT, udp(7)), which the device
 * cuts: what went over the wire is put together here, headers and checksums as the kernel makes them
 * (net/ipv4/udp_offload.c). Without it no reader could tell where the next QUIC packet begins.
 */
#include "datagrams.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#define UDP_HEAD 8
#define UDP_LENGTH 4
#define UDP_CHECKSUM 6
#define IPV4_HEAD_MIN 20
#define IPV4_LENGTH 2
#define IPV4_ID 4
#define IPV4_CHECKSUM 10
#define IPV4_ADDRESSES 12
#define IPV6_HEAD 40
#define IPV6_LENGTH 4
#define IPV6_ADDRESSES 8

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static void set16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t add_all(uint32_t sum, const uint8_t *data, uint32_t length)
{
	uint32_t at;

	for (at = 0; at + 1 < length; at += 2)
		sum += get16(data + at);
	return length & 1 ? sum + ((uint32_t)data[length - 1] << 8) : sum;
}

/* RFC 1071 */
static uint32_t checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static bool is_ipv4(const struct pt_packet *packet)
{
	return packet->data[packet->network_at] >> 4 == 4;
}

static uint32_t head_of(const struct pt_packet *packet)
{
	return (uint32_t)packet->transport_at + UDP_HEAD;
}

/* Only of a whole packet are the last ones there. */
static bool are_several(const struct pt_packet *packet)
{
	uint32_t head = head_of(packet), network = packet->network_at;

	if (!packet->datagram_size || packet->captured != packet->length ||
	    head > DATAGRAM_HEAD_MAX || head >= packet->captured)
		return false;
	if (network + (is_ipv4(packet) ? IPV4_HEAD_MIN : IPV6_HEAD) > packet->transport_at)
		return false;
	return (packet->captured - head - 1) / packet->datagram_size < DATAGRAMS_MAX;
}

static void finish_network(struct pt_packet *one, uint32_t number)
{
	uint8_t *ip = one->data + one->network_at;
	uint32_t head = (uint32_t)one->transport_at - one->network_at;
	uint32_t length = one->captured - one->network_at;

	if (!is_ipv4(one)) {
		set16(ip + IPV6_LENGTH, length - IPV6_HEAD);
		return;
	}
	set16(ip + IPV4_LENGTH, length);
	set16(ip + IPV4_ID, get16(ip + IPV4_ID) + number);
	set16(ip + IPV4_CHECKSUM, 0);
	set16(ip + IPV4_CHECKSUM, checksum(add_all(0, ip, head)));
}

static void finish_transport(struct pt_packet *one)
{
	uint8_t *ip = one->data + one->network_at, *udp = one->data + one->transport_at;
	uint32_t length = one->captured - one->transport_at, sum = IPPROTO_UDP + length;

	if (is_ipv4(one))
		sum = add_all(sum, ip + IPV4_ADDRESSES, 8);
	else
		sum = add_all(sum, ip + IPV6_ADDRESSES, 32);
	set16(udp + UDP_LENGTH, length);
	set16(udp + UDP_CHECKSUM, 0);
	sum = checksum(add_all(sum, udp, length));
	set16(udp + UDP_CHECKSUM, sum ? sum : 0xffff);
}

struct datagrams datagrams_of(const struct pt_packet *packet, struct pt_packet *one)
{
	return (struct datagrams){packet, are_several(packet) ? one : NULL, 0, 0};
}

const struct pt_packet *next_datagram(struct datagrams *datagrams)
{
	const struct pt_packet *packet = datagrams->packet;
	struct pt_packet *one = datagrams->one;
	uint32_t head, left, size;

	if (!packet || !one) {
		datagrams->packet = NULL;
		return packet;
	}
	head = head_of(packet);
	left = packet->captured - head - datagrams->at;
	size = left < packet->datagram_size ? left : packet->datagram_size;
	memcpy(one, packet, sizeof(*one) + head);
	memcpy(one->data + head, packet->data + head + datagrams->at, size);
	one->captured = one->length = head + size;
	finish_network(one, datagrams->number++);
	finish_transport(one);
	datagrams->at += size;
	if (left == size)
		datagrams->packet = NULL;
	return one;
}
