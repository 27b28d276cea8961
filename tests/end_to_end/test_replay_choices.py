# SPDX-License-Identifier: Apache-2.0
"""P8 with `holdfast replay`: equal configurations choose equally, however they are written down and
whatever form the capture has; and the capture's clock ends flows."""

import sys
from pathlib import Path

import pytest
from scapy.all import TCP, UDP

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))

import captures  # noqa: E402
from replaying import Replay, Replayed, write_capture  # noqa: E402

pytestmark = [pytest.mark.plain, pytest.mark.quick]


@pytest.fixture(scope="module")
def flows(tmp_path_factory) -> Path:
    """New flows of both modes, families and protocols, from many clients."""
    frames = []
    for number in range(400):
        v4 = f"198.51.{number % 100}.{number % 250 + 1}"
        v6 = f"2001:db8:1::{number:x}"
        for mode in ("nat", "dsr"):
            syn = TCP(sport=1024 + number, flags="S")
            frames.append(captures.request(mode, 4, syn, source=v4))
            frames.append(captures.request(mode, 6, UDP(sport=9000 + number), b"q", source=v6))
    path = tmp_path_factory.mktemp("flows") / "flows.pcap"
    write_capture(path, frames)
    return path


def differing_choices(first: Replayed, second: Replayed) -> int:
    assert len(first.verdicts) == len(second.verdicts)
    return sum(a != b for a, b in zip(first.verdicts, second.verdicts))


@pytest.mark.continuity("two nodes whose files have another order")
def test_order_of_backends_and_services_does_not_matter(binaries, tmp_path, flows, measured):
    plain = Replay(binaries, captures.configuration(tmp_path, "plain.yaml")).run(flows)
    names = tuple(captures.BACKENDS)
    differing = 0
    orders = [
        (names[::-1], ("nat", "dsr")),
        (names, ("dsr", "nat")),
        (names[1:] + names[:1], ("dsr", "nat")),
    ]
    for number, (backends, modes) in enumerate(orders):
        other = captures.configuration(tmp_path, f"other-{number}.yaml", backends, modes)
        result = Replay(binaries, other).run(flows)
        differing += differing_choices(plain, result)
        assert result.raw == plain.raw
    measured.at_most("differing choices", differing, 0, reason=f"of {3 * len(plain.verdicts)}")
    shares = {v["backend"] for v in plain.verdicts}
    assert len(shares) == 6, "every backend of both families takes part"


def frames_of(result: Replayed, nanoseconds: bool) -> list:
    """What was transmitted, with times in nanoseconds."""
    unit = 1 if nanoseconds else 1000
    return [(r.data, r.length, r.seconds, r.fraction * unit) for r in result.out]


@pytest.mark.parametrize("nanoseconds", [False, True])
def test_pcap_and_pcapng_give_the_same(binaries, tmp_path, nanoseconds):
    replay = Replay(binaries, captures.configuration(tmp_path))
    frames = [named.frame for named in captures.valid_frames()] * 3
    results = {
        form: replay.frames(frames, nanoseconds=nanoseconds, form=form)
        for form in ("pcap", "pcapng")
    }
    assert results["pcap"].verdicts == results["pcapng"].verdicts
    assert frames_of(results["pcap"], nanoseconds) == frames_of(results["pcapng"], True)
    magic = {False: "d4c3b2a1", True: "4d3cb2a1"}[nanoseconds]
    assert results["pcap"].raw[:4].hex() == magic
    assert results["pcapng"].raw[:4].hex() == "4d3cb2a1", "a later interface may be that fine"


def test_output_has_the_times_of_the_input(binaries, tmp_path):
    replay = Replay(binaries, captures.configuration(tmp_path))
    frame = captures.request("dsr", 4, TCP(sport=1, flags="S"))
    result = replay.frames([frame, frame], times=[1.5, 2.25], nanoseconds=True)
    assert [(r.seconds, r.fraction) for r in result.out] == [(1, 500_000_000), (2, 250_000_000)]


def test_link_headers_of_other_captures_are_replaced(binaries, tmp_path):
    replay = Replay(binaries, captures.configuration(tmp_path))
    frames = {
        family: captures.request("nat", family, TCP(sport=1, flags="S")) for family in (4, 6)
    }
    expected = {family: replay.frames([frame]).out[0].data for family, frame in frames.items()}
    for family, frame in frames.items():
        ether_type, packet = bytes(frame)[12:14], bytes(frame)[14:]
        links = {
            101: b"",
            228 if family == 4 else 229: b"",
            0: (b"\2" if family == 4 else b"\x1e") + bytes(3),
            108: bytes(3) + (b"\2" if family == 4 else b"\x18"),
            113: bytes(5) + b"\6" + bytes.fromhex("020000000007") + bytes(2) + ether_type,
            276: ether_type + bytes(9) + b"\6" + bytes.fromhex("020000000007") + bytes(2),
        }
        for link, header in links.items():
            path = tmp_path / f"link-{link}-{family}.pcap"
            write_capture(path, [header + packet], link=link)
            result = replay.run(path)
            assert [r.data for r in result.out] == [expected[family]], f"link type {link}"


def test_the_clock_is_the_captures(binaries, tmp_path):
    replay = Replay(binaries, captures.configuration(tmp_path))
    request = captures.request("nat", 4, UDP(sport=7), b"q")
    answer = captures.answer_to(replay.frames([request]).only(0))

    def verdicts(*times):
        result = replay.frames([request, answer, answer], times=times)
        return [v["reason"] for v in result.verdicts[1:]]

    assert verdicts(0, 5, 200) == [None, None], "UDP lives for 300 s once it was answered"
    assert verdicts(0, 5, 400) == [None, "no_nat_flow"]
    assert verdicts(0, 86_400 * 365, 86_400 * 365 * 2) == ["no_nat_flow"] * 2
    assert verdicts(1000, 5, 6) == [None, None], "time does not run backward"
