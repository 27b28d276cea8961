# SPDX-License-Identifier: Apache-2.0
"""Draws what the demo said as a picture of a terminal, for the README.

    ./run demo | tee demo.txt; /usr/bin/python3 tools/demo_picture.py demo.txt docs/demo.svg

The table of figures is drawn, and the title of each step above it; nothing is made up or left out
of the table. Plain SVG text: it scales, and can be searched.
"""

import re
import sys
from html import escape
from pathlib import Path

CHARACTER_WIDTH, LINE_HEIGHT, MARGIN, BAR = 7.6, 17, 16, 28
LONGEST_LINE = 118
BACKGROUND, TEXT, FAINT, GOOD, BAD, TITLE = (
    "#1b1f27", "#d7dae0", "#7f8896", "#8fc97a", "#e5736d", "#e6c07b",
)  # fmt: skip


def chosen_lines(output: str) -> list[str]:
    """The prompt, the steps' titles and the final table."""
    lines = output.splitlines()
    titles = [line for line in lines if re.match(r"\d\. ", line)]
    heads = [number for number, line in enumerate(lines) if re.match(r"figure +value", line)]
    if not heads:
        raise SystemExit("there is no table in that output: the demo did not come to its end")
    return ["$ ./run demo", *titles, "", *lines[heads[-1] :]]


def styled(line: str) -> str:
    """One line as tspans: steps and verdicts are coloured, remarks are faint."""
    shown = line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"
    if line.startswith("$") or re.match(r"\d\. ", line):
        return _span(shown, TITLE)
    if line.startswith("---"):
        return _span(shown, FAINT)
    found = re.match(r"^(.*?)(  ok|  MISSED|  not judged)?(  \(.*|…)?$", shown)
    assert found is not None
    body, verdict, remark = (part or "" for part in found.groups())
    return _span(body, TEXT) + _span(verdict, GOOD if "ok" in verdict else BAD) + _span(remark, FAINT)


def _span(text: str, colour: str) -> str:
    return f'<tspan fill="{colour}">{escape(text)}</tspan>' if text else ""


def picture(lines: list[str]) -> str:
    columns = min(LONGEST_LINE, max(len(line) for line in lines))
    width = columns * CHARACTER_WIDTH + 2 * MARGIN
    height = len(lines) * LINE_HEIGHT + 2 * MARGIN + BAR
    dots = "".join(
        f'<circle cx="{MARGIN + 4 + 18 * place}" cy="{BAR / 2 + 2}" r="5" fill="{FAINT}"/>'
        for place in range(3)
    )
    rows = "".join(
        f'<text x="{MARGIN}" y="{BAR + MARGIN + LINE_HEIGHT * (row + 0.75):.0f}" '
        f'xml:space="preserve">{styled(line)}</text>\n'
        for row, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" font-family="DejaVu Sans Mono, Menlo, monospace" '
        f'font-size="12.6">\n<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>\n'
        f"{dots}\n{rows}</svg>\n"
    )


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    Path(sys.argv[2]).write_text(picture(chosen_lines(Path(sys.argv[1]).read_text())))


if __name__ == "__main__":
    main()
