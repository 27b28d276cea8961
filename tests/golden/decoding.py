# SPDX-License-Identifier: Apache-2.0
"""Takes frames apart with Scapy and sums every checksum anew: which ones there are, which are
right, and whether every length says what is there. Tunnel headers are peeled by their mode, since
their UDP ports are configured."""

import struct
from dataclasses import dataclass, field

from scapy.all import GRE, IP, VXLAN, Ether, IPv6
from scapy.layers.inet import in4_chksum
from scapy.layers.inet6 import in6_chksum
from scapy.utils import checksum

ICMP_ERRORS = {3, 4, 5, 11, 12}
ICMP6_ERRORS = {1, 2, 3, 4}
EXTENSIONS = {0, 43, 60}
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58


@dataclass
class Decoded:
    """What a frame holds, from the outside in."""

    right: dict[str, bool] = field(default_factory=dict)  # checksum -> whether it is right
    wrong_lengths: list[str] = field(default_factory=list)
    packet: bytes = b""  # the innermost IP packet


def decode(frame: bytes, mode: str = "-") -> Decoded:
    """`mode` tells what outer headers the frame has, if any."""
    ether = Ether(frame)
    network = ether.payload
    while network.name in ("802.1Q", "802.1ad"):
        network = network.payload
    found = Decoded()
    if not isinstance(network, IP | IPv6):
        return found
    packet = bytes(network.original)
    if mode in ("ipip", "gre", "gue", "vxlan"):
        packet = _peel(found, packet, mode)
    _read_packet(found, packet, "")
    return found


def _peel(found: Decoded, packet: bytes, mode: str) -> bytes:
    protocol, payload = _read_network(found, packet, "outer ")
    if mode == "ipip":
        assert protocol == (4 if payload[0] >> 4 == 4 else 41)
        return payload
    if mode == "gre":
        assert protocol == 47
        gre = GRE(payload)
        assert (gre.chksum_present, gre.key_present, gre.seqnum_present, gre.version) == (0,) * 4
        return bytes(gre.payload)
    assert protocol == UDP
    _read_udp(found, packet, payload, "outer ")
    inside = payload[8:]
    if mode == "vxlan":
        vxlan = VXLAN(inside)
        assert vxlan.flags == 8 and isinstance(vxlan.payload, Ether)
        return bytes(vxlan.payload.payload.original)
    # GUE: variant 1 is the packet itself, variant 0 has a header of its own length (and GLB's 4).
    return inside if inside[0] >> 6 == 1 else inside[4 + 4 * (inside[0] & 0x1F) :]


def _read_network(found: Decoded, packet: bytes, where: str) -> tuple[int, bytes]:
    """The upper protocol and what belongs to it; -1 for what stands behind no whole header."""
    if packet[0] >> 4 == 4:
        ip = IP(packet)
        found.right[where + "IPv4"] = checksum(packet[: ip.ihl * 4]) == 0
        if ip.len != len(packet):
            found.wrong_lengths.append(f"{where}IPv4 says {ip.len}, there are {len(packet)}")
        return (-1 if ip.frag else ip.proto), packet[ip.ihl * 4 : ip.len]
    ip = IPv6(packet)
    if 40 + ip.plen != len(packet):
        found.wrong_lengths.append(f"{where}IPv6 says {40 + ip.plen}, there are {len(packet)}")
    kind, at = ip.nh, 40
    while kind in EXTENSIONS or kind == 44:
        if kind == 44 and struct.unpack("!H", packet[at + 2 : at + 4])[0] & 0xFFF8:
            return -1, packet[at + 8 :]
        size = 8 if kind == 44 else 8 + 8 * packet[at + 1]
        kind, at = packet[at], at + size
    return kind, packet[at : 40 + ip.plen]


def _upper_sum(packet: bytes, protocol: int, payload: bytes) -> int:
    """0 when the checksum is right."""
    if packet[0] >> 4 == 4:
        return checksum(payload) if protocol == ICMP else in4_chksum(protocol, IP(packet), payload)
    # Scapy looks for a final destination behind a routing header: a plain header has the same sum.
    ip = IPv6(packet)
    return in6_chksum(protocol, IPv6(src=ip.src, dst=ip.dst), payload)


def _read_udp(found: Decoded, packet: bytes, payload: bytes, where: str) -> None:
    length, claimed = struct.unpack("!HH", payload[4:8])
    if length != len(payload):
        found.wrong_lengths.append(f"{where}UDP says {length}, there are {len(payload)}")
    found.right[where + "UDP"] = claimed == 0 or _upper_sum(packet, UDP, payload[:length]) == 0


def _read_packet(found: Decoded, packet: bytes, where: str) -> None:
    found.packet = packet
    protocol, payload = _read_network(found, packet, where)
    name = {TCP: "TCP", ICMP: "ICMP", ICMP6: "ICMPv6"}.get(protocol)
    fragment = packet[0] >> 4 == 4 and IP(packet).flags.MF
    if fragment or (packet[0] >> 4 == 6 and packet[6] == 44 and packet[43] & 1):
        return  # a checksum over the whole that is not here
    if protocol == UDP:
        _read_udp(found, packet, payload, where)
    elif name:
        found.right[where + name] = _upper_sum(packet, protocol, payload) == 0
    if protocol in (ICMP, ICMP6) and payload[0] in (
        ICMP_ERRORS if protocol == ICMP else ICMP6_ERRORS
    ):
        _read_quoted(found, payload[8:])


def _read_quoted(found: Decoded, quoted: bytes) -> None:
    """Of a packet that an ICMP error quotes only the IPv4 header is sure to be whole."""
    if len(quoted) >= 20 and quoted[0] >> 4 == 4:
        header = (quoted[0] & 0xF) * 4
        found.right["quoted IPv4"] = checksum(quoted[:header]) == 0
