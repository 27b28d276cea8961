# SPDX-License-Identifier: Apache-2.0
"""Captures of minimum-size UDP frames with valid checksums: one-way traffic that every mode takes."""

import random
import struct
from pathlib import Path

VIP = 0xC0000201  # 192.0.2.1
PORTS_PER_CLIENT = 4096


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(flow: int, source_mac: bytes, our_mac: bytes) -> bytes:
    source = 0x0B000000 + flow // PORTS_PER_CLIENT
    ports = struct.pack("!HH", 1024 + flow % PORTS_PER_CLIENT, 80)
    payload = b"\0" * 18
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 46, 0, 0x4000, 64, 17, 0, source, VIP)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    pseudo = struct.pack("!IIBBH", source, VIP, 0, 17, 26)
    udp = ports + struct.pack("!HH", 26, 0) + payload
    udp = udp[:6] + struct.pack("!H", checksum(pseudo + udp) or 0xFFFF) + udp[8:]
    return our_mac + source_mac + b"\x08\x00" + ip + udp


def write_capture(path: Path, first: int, flows: int) -> Path:
    """A frame of each of the flows from `first` on, in random order."""
    order = list(range(first, first + flows))
    random.Random(1).shuffle(order)
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for flow in order:
            data = frame(flow, b"\2\0\0\0\0\1", b"\2\0\0\0\0\2")
            out.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)
    return path
