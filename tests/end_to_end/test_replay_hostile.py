# SPDX-License-Identifier: Apache-2.0
"""Frames and files that are broken, run through `holdfast replay`: every record gets exactly one
verdict, every drop a name from drop.h, and no file brings the program down."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from scapy.all import TCP, Ether

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))

import captures  # noqa: E402
from replaying import (  # noqa: E402
    Replay,
    check_verdicts,
    checksums,
    without_trailer,
    write_capture,
)

pytestmark = [pytest.mark.plain, pytest.mark.quick]


@pytest.fixture
def replay(binaries, tmp_path) -> Replay:
    return Replay(binaries, captures.configuration(tmp_path))


def flips(frame: bytes) -> list[bytes]:
    """Each header byte with one bit, and with every bit, turned over."""
    return [
        frame[:at] + bytes([frame[at] ^ mask]) + frame[at + 1 :]
        for at in range(min(len(frame), 90))
        for mask in (0x01, 0x80, 0xFF)
    ]


@pytest.mark.parametrize("named", captures.valid_frames(), ids=lambda named: named.name)
def test_every_cut_and_every_flip_has_one_verdict(replay, named):
    whole = bytes(named.frame)
    frames = [whole[:size] for size in range(len(whole) + 1)] + flips(whole)
    result = replay.frames(frames)
    assert len(result.verdicts) == len(frames)
    for verdict in result.verdicts:
        for index in verdict["out"]:
            sent = result.out[index].data
            source = frames[verdict["frame"]]
            if verdict["verdict"] == "forward":
                assert len(sent) == len(without_trailer(source))
                assert checksums(Ether(sent)) == checksums(Ether(source)), verdict


def test_cut_frames_are_dropped_by_name(replay):
    for mode in ("nat", "dsr"):
        for family in (4, 6):
            whole = bytes(captures.request(mode, family, TCP(sport=1, flags="S")))
            result = replay.frames([whole[:size] for size in range(len(whole))])
            assert {v["verdict"] for v in result.verdicts} == {"drop"}
            assert {v["reason"] for v in result.verdicts} == {"truncated"}


def test_records_with_a_short_snapshot_length_are_forwarded_short(replay):
    frame = captures.request("nat", 4, TCP(sport=1, flags="S"), b"x" * 1000)
    whole = bytes(frame)
    result = replay.frames([(whole[:size], len(whole)) for size in range(len(whole) + 1)])
    assert len(result.verdicts) == len(whole) + 1
    for size, verdict in enumerate(result.verdicts):
        if size < 54:
            assert verdict["reason"] == "truncated"
            continue
        (record,) = result.sent(size)
        assert (len(record.data), record.length) == (size, len(whole))


def test_empty_captures_and_empty_records(replay):
    assert replay.frames([]).out == []
    result = replay.frames([b"", b"", (b"", 60)])
    assert [v["reason"] for v in result.verdicts] == ["truncated"] * 3


def test_a_capture_that_breaks_off_is_replayed_up_to_there(replay, tmp_path):
    frame = captures.request("dsr", 4, TCP(sport=1, flags="S"))
    for form in ("pcap", "pcapng"):
        path = tmp_path / f"broken.{form}"
        write_capture(path, [frame] * 3, form=form)
        path.write_bytes(path.read_bytes()[:-10])
        result = replay.run(path, check=False)
        assert result.code == 1
        assert [v["verdict"] for v in result.verdicts] == ["forward"] * 2 + ["drop"]
        assert result.verdicts[2]["reason"] == "truncated"
        assert len(result.out) == 2
        assert result.error.count("\n") <= 4 and "frame 2: the file ends within" in result.error
        assert "\n  truncated 1: a header or the packet reaches past" in result.error
        check_verdicts(result)


def test_records_that_cannot_be_replayed_have_a_verdict_and_do_not_end_the_run(replay, tmp_path):
    """Records of another link type and of more bytes than any packet, before sound ones."""
    frame = captures.request("dsr", 4, TCP(sport=1, flags="S"))
    for form in ("pcap", "pcapng"):
        path = tmp_path / f"large.{form}"
        write_capture(path, [b"x" * 300_000, frame], form=form)
        result = replay.run(path, check=False)
        check_verdicts(result)
        assert result.code == 1 and "claims 300000 bytes" in result.error
        assert [v["reason"] for v in result.verdicts] == ["truncated", None]
        assert len(result.out) == 1

        path = tmp_path / f"wireless.{form}"
        write_capture(path, [b"x" * 60] * 2, link=127, form=form)
        result = replay.run(path)
        assert [v["verdict"] for v in result.verdicts] == ["kernel"] * 2
        assert result.error.count("link type 127 cannot be replayed") == 1


def test_damaged_files_end_with_a_message(replay, tmp_path):
    """Bytes of good captures overwritten, inserted and removed, and noise."""
    seed = 20240229
    print(f"seed {seed}")
    chance = random.Random(seed)
    good = []
    for form in ("pcap", "pcapng"):
        path = tmp_path / f"good.{form}"
        write_capture(path, [named.frame for named in captures.valid_frames()], form=form)
        good.append(path.read_bytes())
    path = tmp_path / "damaged"
    for number in range(120):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(data))
            kind = chance.random()
            if kind < 0.6:
                data[at] = chance.randrange(256)
            elif kind < 0.8:
                del data[at : at + chance.randint(1, 40)]
            else:
                data[at:at] = chance.randbytes(chance.randint(1, 40))
        if number % 10 == 0:
            data = data[:4] + chance.randbytes(300)
        path.write_bytes(data)
        result = replay.run(path, check=False)
        assert result.code in (0, 1), result.error
        assert "Sanitizer" not in result.error
        check_verdicts(result)


def test_refusals_are_one_line_with_the_right_code(replay, tmp_path):
    capture = tmp_path / "one.pcap"
    write_capture(capture, [captures.request("dsr", 4, TCP(sport=1, flags="S"))])
    text = tmp_path / "text"
    text.write_text("no capture at all")
    cases = [
        (text, [], 1, "neither pcap nor pcapng"),
        (tmp_path / "absent", [], 1, "cannot read"),
        (tmp_path, [], 1, "cannot be read"),
        (capture, ["--down", "nat/z"], 2, "no such SERVICE/BACKEND"),
        (capture, ["--port", "lan9"], 2, "no such port"),
        (capture, ["--next-hop-mac", "02:00"], 2, "no MAC address"),
        (capture, ["--out", str(capture)], 2, "different files"),
        (capture, ["--out", "/dev/full"], 1, "cannot write"),
    ]
    for path, arguments, code, words in cases:
        out = [] if "--out" in arguments else ["--out", str(tmp_path / "out.pcap")]
        done = subprocess.run(
            [replay.program, "replay", "--config", replay.configuration, "--in", path]
            + out
            + arguments,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, (path, arguments, done.stderr)
        assert words in done.stderr


def test_an_invalid_configuration_is_shown_with_its_places(binaries, tmp_path):
    path = captures.configuration(tmp_path, extra="blance: maglev\n")
    capture = tmp_path / "one.pcap"
    write_capture(capture, [])
    result = Replay(binaries, path).run(capture, check=False)
    assert result.code == 3 and "blance" in result.error
