# SPDX-License-Identifier: Apache-2.0
"""Runs `holdfast replay` and judges its output with Scapy, which computes every checksum anew."""

import json
import re
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from scapy.all import (
    IP,
    TCP,
    UDP,
    Ether,
    ICMPv6EchoReply,
    IPv6,
    RawPcapReader,
)

from captures import NEXT_HOP_MAC, OUR_MAC

ROOT = Path(__file__).resolve().parent.parent.parent
VERDICTS = {"forward", "reply", "kernel", "hold", "drop"}


def drop_names() -> set[str]:
    """The names in dataplane/drop.h."""
    text = (ROOT / "dataplane" / "drop.h").read_text()
    table = re.search(r"kDropNames = \{(.*?)\};", text, re.DOTALL).group(1)
    return set(re.findall(r'"(\w+)"', table))


@dataclass
class Record:
    data: bytes
    seconds: int = 0
    fraction: int = 0  # microseconds or nanoseconds, as the file
    length: int = 0  # on the wire

    @property
    def packet(self):
        return Ether(self.data)


@dataclass
class Replayed:
    code: int
    error: str
    verdicts: list[dict] = field(default_factory=list)
    out: list[Record] = field(default_factory=list)
    raw: bytes = b""

    def sent(self, frame: int) -> list[Record]:
        return [self.out[index] for index in self.verdicts[frame]["out"]]

    def only(self, frame: int):
        """The one packet that came of a frame."""
        (record,) = self.sent(frame)
        return record.packet


def read_pcap(path: Path) -> list[Record]:
    reader = RawPcapReader(str(path))
    try:
        return [Record(data, meta.sec, meta.usec, meta.wirelen) for data, meta in reader]
    finally:
        reader.close()


class Replay:
    """The program with a configuration, in a folder for its files."""

    def __init__(self, binaries: Path, configuration: Path):
        self.program = binaries / "holdfast"
        self.configuration = configuration
        self.folder = configuration.parent
        self.runs = 0

    def run(self, capture: Path, *arguments: str, check: bool = True) -> Replayed:
        """Replays a capture file. With `check` its verdicts are held against its output."""
        self.runs += 1
        out = self.folder / f"out-{self.runs}.pcap"
        verdicts = self.folder / f"verdicts-{self.runs}.jsonl"
        done = subprocess.run(
            [self.program, "replay", "--config", self.configuration, "--in", capture]
            + ["--out", out, "--verdicts", verdicts, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
        )
        result = Replayed(done.returncode, done.stderr)
        if verdicts.exists():
            result.verdicts = [json.loads(line) for line in verdicts.read_text().splitlines()]
        if out.exists():
            result.raw = out.read_bytes()
            result.out = read_pcap(out)
        if check:
            assert done.returncode == 0, done.stderr
            check_verdicts(result)
        return result

    def frames(self, frames, *arguments: str, times=None, nanoseconds=False, form="pcap"):
        """Writes frames (packets or bytes) as a capture and replays it."""
        path = self.folder / f"in-{self.runs}.{form}"
        write_capture(path, frames, times, nanoseconds, form)
        return self.run(path, *arguments)


def write_capture(path: Path, frames, times=None, nanoseconds=False, form="pcap", link=1) -> None:
    """Writes packets or bytes; a (bytes, length) pair is a record that was cut from that length."""
    unit = 10**9 if nanoseconds else 10**6
    records = []
    for number, frame in enumerate(frames):
        data, length = frame if isinstance(frame, tuple) else (bytes(frame), None)
        ticks = round((times[number] if times else number / 1000) * unit)
        records.append((ticks, data, len(data) if length is None else length))
    path.write_bytes(_pcap(records, unit, link) if form == "pcap" else _pcapng(records, unit, link))


def _pcap(records, unit: int, link: int) -> bytes:
    magic = 0xA1B2C3D4 if unit == 10**6 else 0xA1B23C4D
    parts = [struct.pack("<IHHIIII", magic, 2, 4, 0, 0, 262144, link)]
    for ticks, data, length in records:
        parts.append(struct.pack("<IIII", ticks // unit, ticks % unit, len(data), length) + data)
    return b"".join(parts)


def _pcapng(records, unit: int, link: int) -> bytes:
    resolution = struct.pack("<HHB3xI", 9, 1, 6 if unit == 10**6 else 9, 0)
    parts = [
        _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)),
        _block(1, struct.pack("<HHI", link, 0, 0) + resolution),
    ]
    for ticks, data, length in records:
        fields = struct.pack("<IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(data), length)
        parts.append(_block(6, fields + data))
    return b"".join(parts)


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def check_verdicts(result: Replayed) -> None:
    """Every record has one verdict, every output one origin, every drop a name."""
    names = drop_names()
    indexes = []
    for number, verdict in enumerate(result.verdicts):
        keys = [key for key in verdict if key != "icmp_error"]
        assert keys == ["frame", "verdict", "reason", "service", "backend", "out"]
        assert verdict["frame"] == number
        assert verdict["verdict"] in VERDICTS
        assert (verdict["reason"] in names) == (verdict["verdict"] == "drop"), verdict
        assert (verdict["reason"] is None) == (verdict["verdict"] != "drop")
        assert len(verdict["out"]) == (verdict["verdict"] in ("forward", "reply"))
        indexes += verdict["out"]
    assert sorted(indexes) == list(range(len(result.out)))


def checksums(packet) -> dict[str, bool]:
    """Which of a packet's checksums are right, computed anew by Scapy."""
    right = {}
    for layer in (IP, TCP, UDP, ICMPv6EchoReply):
        if layer not in packet:
            continue
        name = "cksum" if layer is ICMPv6EchoReply else "chksum"
        claimed = getattr(packet[layer], name)
        if layer is UDP and claimed == 0 and IP in packet:
            right["UDP"] = True
            continue
        again = packet.copy()
        delattr(again[layer], name)
        right[layer.__name__] = getattr(Ether(bytes(again))[layer], name) == claimed
    return right


def assert_sound(packet) -> None:
    wrong = [name for name, right in checksums(packet).items() if not right]
    assert not wrong, f"wrong checksums {wrong} in {packet.summary()}"
    assert packet.src == OUR_MAC and packet.dst == NEXT_HOP_MAC


def without_trailer(frame: bytes) -> bytes:
    """An untagged frame as far as its IP packet goes."""
    ip = Ether(frame).payload
    return frame[: 14 + (ip.len if isinstance(ip, IP) else 40 + ip.plen)]


def untouched(packet, translated: bool) -> bytes:
    """The packet's bytes with what rewriting may change set to zero."""
    packet = packet.copy()
    packet.src = packet.dst = "00:00:00:00:00:00"
    if not translated:
        return bytes(packet)
    if IP in packet:
        ip = packet[IP]
        ip.src = ip.dst = "0.0.0.0"
        ip.ttl = ip.chksum = 0
    else:
        ip = packet[IPv6]
        ip.src = ip.dst = "::"
        ip.hlim = 0
    upper = packet.getlayer(TCP) or packet.getlayer(UDP)
    upper.sport = upper.dport = upper.chksum = 0
    return bytes(packet)
