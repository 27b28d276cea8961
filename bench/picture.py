# SPDX-License-Identifier: Apache-2.0
"""Draws ns per packet against the number of flows, Holdfast and its peers.

    ./run bench --json figures.json; /usr/bin/python3 bench/picture.py figures.json bench/flows.svg

Lines are drawn from what the run measured; dashed ones are recorded_peers.json's, taken by hand on a
machine of the same kind. Both axes are logarithmic. What the file of figures lacks is not drawn.
"""

import json
import math
import re
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 960, 560
LEFT, RIGHT, TOP, BOTTOM = 70, 330, 50, 60
FEWEST_FLOWS, MOST_FLOWS = 50, 2e8
LEAST_NS, MOST_NS = 4, 2000
BACKGROUND, TEXT, GRID = "#ffffff", "#22262e", "#d9dce2"
OURS, PEERS = ("#1f6feb", "#0a3069", "#54aeff", "#8250df"), (
    "#cf222e", "#bf8700", "#1a7f37", "#6e7781", "#953800", "#bc4c00")

# Name in the picture, of which figures (the number of flows is the group), value or baseline.
MEASURED = (
    ("Holdfast, process, nat", r"process\.nat\.(\d+)", "value"),
    ("Holdfast, process, ipip", r"process\.ipip\.(\d+)", "value"),
    ("Holdfast, pipeline, nat", r"stage\.nat_hit\.(\d+)\.total", "value"),
    ("Holdfast, flow lookup alone", r"lookup\.hit\.uniform\.(\d+)", "value"),
    ("testpmd 5tswap", r"process\.nat\.(\d+)", "baseline"),
    ("rte_hash lookup in bulk alone", r"lookup\.hit\.uniform\.(\d+)", "baseline"),
    ("Open vSwitch (DPDK), conntrack and DNAT", r"peers\.open_vswitch\.(\d+)", "value"),
)


@dataclass
class Line:
    name: str
    points: list[tuple[float, float]]  # flows, ns
    dashed: bool = False


def measured_lines(figures: list[dict]) -> list[Line]:
    lines = []
    for name, pattern, key in MEASURED:
        found = [(re.fullmatch(pattern, figure["name"]), figure[key]) for figure in figures]
        points = sorted((float(match.group(1)), value) for match, value in found
                        if match and isinstance(value, (int, float)))
        if points:
            lines.append(Line(name, points))
    return lines


def recorded_lines(known: set[str]) -> list[Line]:
    recorded = json.loads(Path(__file__).with_name("recorded_peers.json").read_text())
    return [Line(one["name"], sorted((float(flows), ns)
                                     for flows, ns in one["ns_per_packet"].items()
                                     if float(flows) >= FEWEST_FLOWS), dashed=True)
            for one in recorded if one["name"] not in known]


def x_of(flows: float) -> float:
    share = math.log(flows / FEWEST_FLOWS) / math.log(MOST_FLOWS / FEWEST_FLOWS)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def y_of(ns: float) -> float:
    share = math.log(ns / LEAST_NS) / math.log(MOST_NS / LEAST_NS)
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def text(x: float, y: float, words: str, anchor: str = "middle", colour: str = TEXT) -> str:
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}">'
            f"{escape(words)}</text>\n")


def grid() -> str:
    drawn = ""
    for flows, words in ((100, "100"), (1e3, "1 k"), (1e4, "10 k"), (1e5, "100 k"), (1e6, "1 M"),
                         (1e7, "10 M"), (1e8, "100 M")):
        drawn += _segment(x_of(flows), TOP, x_of(flows), HEIGHT - BOTTOM)
        drawn += text(x_of(flows), HEIGHT - BOTTOM + 18, words)
    for ns in (5, 10, 20, 50, 100, 200, 500, 1000, 2000):
        drawn += _segment(LEFT, y_of(ns), WIDTH - RIGHT, y_of(ns))
        drawn += text(LEFT - 8, y_of(ns) + 4, str(ns), "end")
    drawn += text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "flows")
    drawn += text(LEFT, TOP - 18, "ns of CPU time per packet", "start")
    return drawn


def _segment(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="{GRID}"/>\n'


def drawn_line(line: Line, colour: str) -> str:
    path = " ".join(f"{x_of(flows):.1f},{y_of(ns):.1f}" for flows, ns in line.points)
    dash = ' stroke-dasharray="6 4"' if line.dashed else ""
    dots = "".join(f'<circle cx="{x_of(flows):.1f}" cy="{y_of(ns):.1f}" r="3" fill="{colour}"/>'
                   for flows, ns in line.points)
    return (f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>\n'
            f"{dots}\n")


def legend(lines: list[tuple[Line, str]]) -> str:
    drawn = ""
    for row, (line, colour) in enumerate(lines):
        x, y = WIDTH - RIGHT + 14, TOP + 14 + 22 * row
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        drawn += (f'<line x1="{x}" y1="{y}" x2="{x + 24}" y2="{y}" stroke="{colour}" '
                  f'stroke-width="2"{dash}/>\n')
        drawn += text(x + 30, y + 4, line.name, "start")
    return drawn


def coloured(lines: list[Line]) -> list[tuple[Line, str]]:
    ours = [line for line in lines if line.name.startswith("Holdfast")]
    peers = [line for line in lines if not line.name.startswith("Holdfast")]
    return [*zip(ours, OURS), *zip(peers, PEERS)]


def picture(lines: list[Line]) -> str:
    pairs = coloured(lines)
    curves = "".join(drawn_line(line, colour) for line, colour in pairs)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="DejaVu Sans, Arial, sans-serif" '
            f'font-size="12">\n<rect width="100%" height="100%" fill="{BACKGROUND}"/>\n'
            f"{grid()}{curves}{legend(pairs)}</svg>\n")


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    lines = measured_lines(json.loads(Path(sys.argv[1]).read_text()))
    if not lines:
        raise SystemExit("there is no figure of lookup, stages or process in that file")
    lines += recorded_lines({line.name for line in lines})
    Path(sys.argv[2]).write_text(picture(lines))


if __name__ == "__main__":
    main()
