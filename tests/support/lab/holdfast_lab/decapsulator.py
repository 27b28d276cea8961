# SPDX-License-Identifier: Apache-2.0
"""The end of a tunnel in user space: decapsulator.py DEVICE

Takes packets of ipip, gre and gue (with and without a hop list) from raw and UDP sockets, takes the
outer headers off and hands the inner packet to the kernel by a TUN device. For labs on kernels that
have no modules for these; a real backend uses the kernel's own (docs/modes.md). Says "ready" once it
receives; runs until it is killed. Written from RFC 2003, RFC 2473, RFC 2784 and the GUE draft.
"""

import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
IPIP, IPV6, GRE = 4, 41, 47
GUE_PORTS = (6080, 19523)
LONGEST = 65535


def open_tun(device: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    return descriptor


def without_ipv4_header(packet: bytes) -> bytes:
    return packet[(packet[0] & 0x0F) * 4 :]


def of_gre(packet: bytes) -> bytes | None:
    """Without its 4-byte header; None when it has more than that."""
    flags, protocol = struct.unpack("!HH", packet[:4])
    return packet[4:] if flags == 0 and protocol in (0x0800, 0x86DD) else None


def of_gue(datagram: bytes) -> bytes | None:
    """Variant 1 is the packet itself, variant 0 has a header with its length in words."""
    if datagram[0] >> 6 == 1:
        return datagram
    words = datagram[0] & 0x1F
    return datagram[4 + 4 * words :] if datagram[0] >> 6 == 0 else None


def listen() -> dict:
    """Sockets, each with what makes an inner packet of what it receives."""
    sockets = {}
    for protocol in (IPIP, IPV6, GRE):
        inner = of_gre if protocol == GRE else bytes
        v4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
        sockets[v4] = lambda packet, inner=inner: inner(without_ipv4_header(packet))
        v6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol)
        sockets[v6] = inner
    for port in GUE_PORTS:
        udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        udp.bind(("::", port))
        sockets[udp] = of_gue
    return sockets


def main() -> None:
    tun = open_tun(sys.argv[1])
    sockets = listen()
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select(list(sockets), [], [])
        for one in readable:
            inner = sockets[one](one.recv(LONGEST))
            if inner:
                try:
                    os.write(tun, inner)
                except OSError:
                    pass  # no IP packet, or the device is still down: as lost as on a link


if __name__ == "__main__":
    main()
