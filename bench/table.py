# SPDX-License-Identifier: Apache-2.0
"""Writes the figures of a run into README.md, between its two marks.

    ./run bench --json figures.json; /usr/bin/python3 bench/table.py figures.json

First what has a target, met or not; then everything else, part by part. Nothing is chosen: what the
run measured stands there, and what it could not measure with its reason.
"""

import json
import re
import sys
from pathlib import Path

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- figures: written by table.py -->", "<!-- end of figures -->"
STAGES = ("parse", "classify", "track", "select", "rewrite", "total")
HEAD = "| figure | measured | beside | target | |\n|---|---|---|---|---|\n"


def number(value) -> str:
    if isinstance(value, (int, float)) and abs(value) >= 10_000:
        return f"{value:,.0f}".replace(",", " ")
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def row(figure: dict) -> str:
    unit = f" {figure['unit']}" if figure["unit"] and figure["unit"] != "ratio" else ""
    noise = "" if figure["spread"] in (None, 0) else f" ± {number(figure['spread'])}"
    beside = "" if figure["baseline"] is None else number(figure["baseline"])
    verdict = {True: "met", False: "**missed**", None: ""}[figure["pass"]]
    remark = (figure["reason"] or "").replace("|", "/")
    words = "; ".join(part for part in (verdict, remark) if part)
    return (f"| `{figure['name']}` | {number(figure['value'])}{unit}{noise} | {beside} | "
            f"{figure['target'] or ''} | {words} |\n")


def stage_table(figures: list[dict]) -> str:
    """The breakdown of a packet: a row for each case and number of flows."""
    cases: dict[str, dict[str, str]] = {}
    for figure in figures:
        found = re.fullmatch(r"stage\.(.+)\.([a-z]+)", figure["name"])
        if found and found.group(2) in STAGES:
            cases.setdefault(found.group(1), {})[found.group(2)] = number(figure["value"])
    if not cases:
        return ""
    table = "ns per packet by stage:\n\n| | " + " | ".join(STAGES) + " |\n"
    table += "|---" * (len(STAGES) + 1) + "|\n"
    for case, stages in cases.items():
        cells = " | ".join(stages.get(stage, "") for stage in STAGES)
        table += f"| `{case}` | {cells} |\n"
    return table + "\n"


def is_breakdown(figure: dict) -> bool:
    return figure["name"].startswith("stage.") and figure["name"].rsplit(".", 1)[1] in STAGES


def tables(figures: list[dict]) -> str:
    judged = [figure for figure in figures if figure["target"]]
    others = [figure for figure in figures if not figure["target"] and not is_breakdown(figure)]
    text = HEAD + "".join(row(figure) for figure in judged) + "\n" + stage_table(figures)
    if others:
        text += "Without a target:\n\n" + HEAD + "".join(row(figure) for figure in others)
    return text


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    figures = json.loads(Path(sys.argv[1]).read_text())
    readme = README.read_text()
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise SystemExit(f"{README} lacks its marks")
    README.write_text(f"{before}{BEGIN}\n{tables(figures)}{END}{after}")


if __name__ == "__main__":
    main()
