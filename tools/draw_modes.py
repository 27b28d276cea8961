# SPDX-License-Identifier: Apache-2.0
"""Draws the packet layouts in docs/modes.md from real bytes: draw_modes.py HOLDFAST [--write].

Each mode's configuration is run through `holdfast replay` with one TCP SYN; what it would transmit
is taken apart header by header. Without --write the text between the marks of docs/modes.md is
compared with what was drawn, and the exit status is 1 when they differ.
"""

import argparse
import ipaddress
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "modes.md"
BEGIN, END = "<!-- drawn by tools/draw_modes.py -->\n", "<!-- until here -->\n"
VIP = {4: "203.0.113.10", 6: "2001:db8::10"}
CLIENT = {4: "198.51.100.7", 6: "2001:db8:1::7"}
BACKENDS = {4: ("10.0.3.11", "10.0.3.12"), 6: ("2001:db8:3::11", "2001:db8:3::12")}
# Title, mode, family of the backends, of the client, the service's tunnel.
LAYOUTS = [
    ("dsr", "dsr", 4, 4, ""),
    ("nat", "nat", 4, 4, ""),
    ("ipip, 4in4", "ipip", 4, 4, ""),
    ("ipip, 6in4", "ipip", 4, 6, ""),
    ("ipip, 4in6", "ipip", 6, 4, ""),
    ("gre", "gre", 4, 4, ""),
    ("gue", "gue", 4, 4, ""),
    ("gue, over IPv6", "gue", 6, 6, ""),
    ("gue with a hop list (hops: 1)", "gue", 4, 4, "hops: 1"),
    ("vxlan", "vxlan", 4, 4, "vni: 100"),
]


def configuration(mode: str, outer: int, tunnel: str) -> str:
    mac = ", inner_mac: '02:00:00:00:00:0b'" if mode == "vxlan" else ""
    lines = [
        "version: 1",
        "dataplane: {directory: /nonexistent}",
        "ports: {wan0: {device: 'null'}, lan0: {device: 'null'}}",
        "nat: {pool: [10.0.3.16]}",
        "services:",
        "  - name: web",
        f"    vips: ['{VIP[4]}'{', ' + repr(VIP[6]) if mode not in ('nat', 'dsr') else ''}]",
        "    ports: [tcp/80]",
        f"    mode: {mode}",
        "    check: none",
        "    backends:",
    ]
    lines += [
        f"      - {{name: {name}, address: '{address}'{mac}}}"
        for name, address in zip("ab", BACKENDS[outer])
    ]
    lines += [f"    tunnel: {{{tunnel}}}"] if tunnel else []
    return "\n".join(lines) + "\n"


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def syn(family: int) -> bytes:
    """An Ethernet frame with a TCP SYN from the client to the VIP."""
    source = ipaddress.ip_address(CLIENT[family]).packed
    target = ipaddress.ip_address(VIP[family]).packed
    tcp = struct.pack("!HHIIBBHHH", 40000, 80, 1, 0, 0x50, 0x02, 64240, 0, 0)
    pseudo = source + target + struct.pack("!II", len(tcp), 6)
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    if family == 4:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0x1234, 0x4000, 63, 6, 0) + source + target
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    else:
        ip = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 63) + source + target
    kind = b"\x08\x00" if family == 4 else b"\x86\xdd"
    return bytes.fromhex("02005e100001 020000000007") + kind + ip + tcp


def replay(program: Path, text: str, frame: bytes) -> bytes:
    """The one frame that comes of `frame`."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "mode.yaml").write_text(text)
        header = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
        record = struct.pack("<IIII", 0, 0, len(frame), len(frame))
        (place / "in.pcap").write_bytes(header + record + frame)
        command = [program, "replay", "--config", "mode.yaml", "--in", "in.pcap"]
        done = subprocess.run(
            [*command, "--out", "out.pcap"], cwd=place, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise SystemExit(f"draw_modes: {done.stderr}")
        return (place / "out.pcap").read_bytes()[24 + 16 :]


def mac(data: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in data)


class Drawing:
    """Takes a frame apart, one line of offset, bytes and meaning for each header."""

    def __init__(self, frame: bytes):
        self.frame = frame
        self.at = 0
        self.lines = []

    def take(self, size: int, meaning) -> bytes:
        data = self.frame[self.at : self.at + size]
        text = meaning(data) if callable(meaning) else meaning
        for start in range(0, size, 16):
            shown = " ".join(f"{byte:02x}" for byte in data[start : start + 16])
            note = text if start == 0 else ""
            self.lines.append(f"{self.at + start:5}  {shown:<48} {note}".rstrip())
        self.at += size
        return data

    def ethernet(self) -> int:
        data = self.take(14, lambda d: f"Ethernet  {mac(d[6:12])} > {mac(d[:6])}")
        return struct.unpack("!H", data[12:])[0]

    def ip(self, kind: int) -> int:
        if kind == 0x0800:
            data = self.take(20, self._ipv4)
            return data[9]
        data = self.take(40, self._ipv6)
        return data[6]

    def _ipv4(self, data: bytes) -> str:
        source, target = (ipaddress.ip_address(data[n : n + 4]) for n in (12, 16))
        flags = ", DF" if data[6] & 0x40 else ""
        return f"IPv4      {source} > {target}, TTL {data[8]}{flags}, protocol {data[9]}"

    def _ipv6(self, data: bytes) -> str:
        source, target = (ipaddress.ip_address(data[n : n + 16]) for n in (8, 24))
        return f"IPv6      {source} > {target}, hop limit {data[7]}, next header {data[6]}"

    def udp(self) -> int:
        data = self.take(8, lambda d: "UDP       {} > {}, length {}, checksum {:#06x}".format(
            *struct.unpack("!HHHH", d)))
        return struct.unpack("!H", data[2:4])[0]

    def upper(self, protocol: int, kind: str) -> None:
        if protocol == 6:
            self.take(20, lambda d: "TCP       {} > {}, SYN".format(*struct.unpack("!HH", d[:4])))
        elif protocol in (4, 41):
            self.packet(0x0800 if protocol == 4 else 0x86DD, kind)
        elif protocol == 47:
            inner = self.take(4, lambda d: f"GRE       protocol {d[2:].hex()}")
            self.packet(struct.unpack("!H", inner[2:])[0], kind)
        else:
            self.tunnel_in_udp(self.udp(), kind)

    def tunnel_in_udp(self, port: int, kind: str) -> None:
        if port == 4789:
            self.take(8, lambda d: f"VXLAN     VNI {int.from_bytes(d[4:7], 'big')}")
            self.packet(self.ethernet(), kind)
            return
        if port == 19523:
            head = self.take(8, lambda d: f"GUE       {d[0]} words, protocol {d[1]}, hop {d[6]} of {d[7]}")
            for _ in range(head[7]):
                self.take(4, lambda d: f"          {ipaddress.ip_address(d)}")
        self.packet(0x0800 if self.frame[self.at] >> 4 == 4 else 0x86DD, kind)

    def packet(self, kind: int, prefix: str) -> None:
        if prefix:
            self.lines.append(f"       {prefix}")
        self.upper(self.ip(kind), "-- the client's packet, as it came --")


def draw(program: Path) -> str:
    parts = []
    for title, mode, outer, inner, tunnel in LAYOUTS:
        frame = syn(inner)
        sent = replay(program, configuration(mode, outer, tunnel), frame)
        drawing = Drawing(sent)
        drawing.packet(drawing.ethernet(), "")
        added = len(sent) - len(frame)
        cost = f", {added} bytes added" if added else ""
        parts.append(f"### {title}{cost}\n\n```\n" + "\n".join(drawing.lines) + "\n```\n")
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("holdfast", type=Path)
    parser.add_argument("--write", action="store_true", help="into docs/modes.md")
    arguments = parser.parse_args()
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    written, _, after = rest.partition(END)
    drawn = draw(arguments.holdfast.resolve())
    if arguments.write:
        DOCUMENT.write_text(before + BEGIN + drawn + END + after)
        return 0
    if drawn != written:
        print("docs/modes.md is not what is drawn: draw_modes.py HOLDFAST --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
