# SPDX-License-Identifier: Apache-2.0
"""From samples to figures, to the table and to the picture."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests/support/lab")]

from holdfast_lab.figures import Figures  # noqa: E402

import measured  # noqa: E402
import picture  # noqa: E402
import table  # noqa: E402
from captures import checksum, frame  # noqa: E402


def test_a_figure_is_the_median_with_the_largest_distance_from_it():
    figure = measured.record(Figures(), "anything", [10.0, 10.5, 9.8, 10.1], "ns")
    assert (figure.value, figure.spread, figure.passed) == (10.05, 0.45, None)


def test_a_target_is_judged_by_the_name_of_the_figure():
    figures = Figures()
    assert measured.record(figures, "lookup.hit.uniform.1000", [7.0, 7.1], "ns").passed is True
    assert measured.record(figures, "lookup.hit.uniform.1000", [9.0, 9.1], "ns").passed is False
    assert measured.record(figures, "cps.nat", [1.9e6, 1.9e6], "connections/s").passed is False
    assert len(figures.failed()) == 2


def test_a_run_whose_halves_disagree_is_marked():
    apart = measured.record(Figures(), "anything", [10.0, 10.0, 12.0, 12.0], "ns")
    assert apart.reason == "halves of the run differ by 18%"
    assert measured.record(Figures(), "anything", [10.0, 12.0, 12.0, 10.0], "ns").reason is None


def test_what_this_machine_cannot_judge_keeps_its_figure_and_target():
    figure = measured.record(Figures(), "latency.p50", [9.0, 9.0], "us", unjudged="two cores")
    assert (figure.value, figure.target, figure.passed) == (9, "<= 5", None)
    assert figure.reason == "two cores"


def test_a_ratio_is_the_median_of_the_rounds():
    figure = measured.record_ratio(Figures(), "anything", [10.0, 30.0, 10.0], [20.0, 20.0, 20.0])
    assert figure.value == 0.5


def test_a_program_that_fails_is_a_missed_figure():
    figures = Figures()
    assert measured.run_program(figures, "/bin/false") == []
    assert figures.failed()[0].name == "false"


@pytest.mark.parametrize("value, shown", [(0.0, 0), (1234567.0, 1235000), (0.012345, 0.01235)])
def test_four_digits_are_shown(value, shown):
    assert measured.short(value) == pytest.approx(shown)


def figures_as_json() -> list[dict]:
    figures = Figures()
    measured.record(figures, "lookup.hit.uniform.1000", [9.0], "ns", [12.0])
    measured.record(figures, "stage.nat_hit.1000.total", [80.0], "ns/packet")
    figures.note("lookup.pages.1000", None, reason="4 KB")
    return [figure.as_json() for figure in figures.all]


def test_the_table_shows_a_missed_target_as_missed():
    text = table.tables(figures_as_json())
    assert "| `lookup.hit.uniform.1000` | 9 ns | 12 | <= 8 | **missed** |" in text
    assert "| `nat_hit.1000` |  |  |  |  |  | 80 |" in text
    assert "| `lookup.pages.1000` | – |  |  | 4 KB |" in text


def test_the_picture_has_a_line_for_what_was_measured_and_for_what_is_on_record():
    lines = picture.measured_lines(figures_as_json())
    assert [line.name for line in lines] == [
        "Holdfast, pipeline, nat", "Holdfast, flow lookup alone", "rte_hash lookup in bulk alone"]
    drawn = picture.picture(lines + picture.recorded_lines({line.name for line in lines}))
    assert drawn.count("<polyline") == len(lines) + 3


def test_frames_of_a_capture_have_valid_checksums():
    packet = frame(5000, b"\2\0\0\0\0\1", b"\2\0\0\0\0\2")
    assert len(packet) == 60
    ip, udp = packet[14:34], packet[34:]
    assert checksum(ip) == 0
    assert checksum(ip[12:] + bytes([0, 17]) + udp[4:6] + udp) == 0
