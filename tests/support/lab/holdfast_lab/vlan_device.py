# SPDX-License-Identifier: Apache-2.0
"""A VLAN interface in user space: vlan_device.py DEVICE PARENT TYPE.VLAN [TYPE.VLAN]

A TAP device that gets the frames of a parent interface with exactly these tags (the outer one
first, types in hexadecimal), without them, and whose own frames leave by the parent with them. For
labs on kernels without 802.1Q. Says "ready" once it receives; runs until it is killed.
"""

import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_OUTGOING = 4
TP_STATUS_VLAN_VALID = 0x10
MACS = 12
LONGEST = 65535


def open_tap(device: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


def open_parent(name: str) -> socket.socket:
    parent = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    parent.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    parent.bind((name, 0))
    return parent


def receive(parent: socket.socket) -> bytes:
    """A frame with the tag in it that the kernel took off; b"" for one that leaves."""
    frame, extra, _, (_, _, kind, _, _) = parent.recvmsg(LONGEST, 256)
    if kind == PACKET_OUTGOING:
        return b""
    for level, what, data in extra:
        if (level, what) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data)
            if status & TP_STATUS_VLAN_VALID:
                frame = frame[:MACS] + struct.pack("!HH", tpid, tci) + frame[MACS:]
    return frame


def without_tags(frame: bytes, tags: list[tuple[int, int]]) -> bytes:
    """b"" for a frame of other tags."""
    for kind, vlan in tags:
        found, control = struct.unpack("!HH", frame[MACS : MACS + 4])
        if (found, control & 0x0FFF) != (kind, vlan):
            return b""
        frame = frame[:MACS] + frame[MACS + 4 :]
    return b"" if frame[MACS : MACS + 2] in (b"\x81\x00", b"\x88\xa8") else frame


def main() -> None:
    device, name, *words = sys.argv[1:]
    tags = [(int(kind, 16), int(vlan)) for kind, vlan in (word.split(".") for word in words)]
    header = b"".join(struct.pack("!HH", kind, vlan) for kind, vlan in tags)
    tap, parent = open_tap(device), open_parent(name)
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([tap, parent], [], [])
        try:
            if tap in readable:
                frame = os.read(tap, LONGEST)
                parent.send(frame[:MACS] + header + frame[MACS:])
            if parent in readable:
                frame = receive(parent)
                frame = without_tags(frame, tags) if len(frame) > 22 else b""
                if frame:
                    os.write(tap, frame)
        except OSError:
            pass  # a device is down: as lost as on a link


if __name__ == "__main__":
    main()
