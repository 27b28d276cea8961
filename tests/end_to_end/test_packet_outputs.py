# SPDX-License-Identifier: Apache-2.0
"""What the packet tests send out, taken apart by Scapy. The test program keeps each frame that it
sent with what came of it (tests/support/frame_record.h). A checksum that was right in what came in
must be right in what left, one that Holdfast made must be right in any case, lengths must say what
is there, and a tunnel carries the client's packet byte for byte."""

import collections
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from scapy.all import IP, TCP, IPv6, RawPcapReader

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))

from decoding import Decoded, decode  # noqa: E402

pytestmark = [pytest.mark.plain, pytest.mark.quick]

TUNNELS = ("ipip", "gre", "gue", "vxlan")
MODES = ("nat", "dsr", *TUNNELS)
# Bytes of outer headers over IPv4 that no checksum covers: GRE's, and VXLAN's with UDP and Ethernet.
UNCOVERED = {"gre": 4, "vxlan": 8 + 8 + 14}


@dataclass
class Pair:
    """A frame that a packet test sent, and what left for it."""

    before: bytes
    after: bytes
    verdict: str
    mode: str
    test: str


@pytest.fixture(scope="module")
def pairs(binaries, tmp_path_factory) -> list[Pair]:
    program = binaries / "pipeline_tests"
    if not program.exists():
        pytest.fail(f"there is no {program}")
    path = tmp_path_factory.mktemp("packets") / "outputs.pcap"
    done = subprocess.run(
        [program, "--gtest_brief=1"],
        env={**os.environ, "HOLDFAST_OUTPUTS": str(path)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    return read_pairs(path)


def read_pairs(path: Path) -> list[Pair]:
    frames = collections.defaultdict(dict)
    for data, meta in RawPcapReader(str(path)):
        frames[meta.sec][meta.usec] = data
    pairs = []
    for line in Path(f"{path}.txt").read_text().splitlines():
        number, verdict, mode, test = line.split(" ", 3)
        pairs.append(Pair(frames[int(number)][0], frames[int(number)][1], verdict, mode, test))
    assert len(pairs) == len(frames)
    return pairs


# Stands in a header that was not in the frame that came in. An outer UDP checksum is derived from
# the inner one, so it is as right as that.
MADE_BY_US = "outer IPv4"


def only_the_mss_fell(before: bytes, after: bytes) -> bool:
    """A SYN may announce less than it came with (dataplane/mss.h); the rest of it stays."""

    def parts(packet: bytes) -> tuple:
        ip = IPv6(packet) if packet[0] >> 4 == 6 else IP(packet)
        if TCP not in ip or "S" not in ip[TCP].flags:
            return None, None
        tcp = ip[TCP]
        mss = next((value for name, value in tcp.options if name == "MSS"), None)
        others = [option for option in tcp.options if option[0] != "MSS"]
        rest = (ip.src, ip.dst, tcp.sport, tcp.dport, tcp.seq, tcp.ack, tcp.flags, tcp.window)
        return mss, (rest, others, bytes(tcp.payload.original or b""))

    was, one = parts(before)
    now, other = parts(after)
    return one is not None and one == other and now is not None and now < (was or 1 << 16)


def complaints(pair: Pair) -> list[str]:
    before: Decoded = decode(pair.before)
    after: Decoded = decode(pair.after, pair.mode)
    came_sound = all(before.right.values())
    # A UDP datagram may end before its packet does (RFC 9868), and travels so.
    found = [what for what in after.wrong_lengths if what not in before.wrong_lengths]
    for name, right in after.right.items():
        was_right = before.right.get(name, came_sound)
        if not right and (was_right or name == MADE_BY_US):
            found.append(f"{name} checksum")
    if pair.mode in TUNNELS and after.packet != before.packet[: len(after.packet)]:
        if not only_the_mss_fell(before.packet, after.packet):
            found.append("the client's packet changed inside the tunnel")
    return found


def test_every_output_is_sound_where_its_input_was(pairs):
    wrong = {}
    for pair in pairs:
        if found := complaints(pair):
            wrong.setdefault(pair.test, f"{', '.join(found)}: {pair.after.hex()}")
    assert not wrong, "\n".join(f"{test}: {what}" for test, what in wrong.items())


def test_there_are_outputs_of_every_kind(pairs):
    counts = collections.Counter(p.mode if p.verdict == "forward" else "reply" for p in pairs)
    print(f"{len(pairs)} outputs decoded: {dict(counts)}")
    assert all(counts[kind] >= 10 for kind in (*MODES, "reply")), counts


@pytest.mark.parametrize("mode", MODES)
def test_a_single_wrong_byte_would_be_found(pairs, mode):
    """Of the judge itself: in the first outputs of a mode each byte that a checksum covers."""
    pair = next(
        p
        for p in pairs
        if p.mode == mode
        and len(p.after) < 150
        and p.after[12:14] == p.before[12:14] == b"\x08\x00"
        and all(decode(p.before).right.values())
    )
    missed = []
    for at in range(14, len(pair.after)):
        damaged = bytearray(pair.after)
        damaged[at] ^= 0x10
        try:
            if not complaints(Pair(pair.before, bytes(damaged), "forward", mode, pair.test)):
                missed.append(at)
        except (AssertionError, IndexError):
            continue  # no longer such a frame at all
    assert len(missed) <= UNCOVERED.get(mode, 0), missed
