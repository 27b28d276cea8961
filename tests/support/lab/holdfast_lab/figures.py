# SPDX-License-Identifier: Apache-2.0
"""Measured figures: one list for the table on the terminal and for the JSON file.

A figure has a target or none. It passes, fails, or (None) cannot be judged here, with the reason.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Figure:
    name: str
    value: float | int | str | None
    unit: str | None = None
    target: str | None = None
    passed: bool | None = None
    spread: float | None = None
    baseline: float | int | None = None
    reason: str | None = None

    def as_json(self) -> dict:
        values = asdict(self)
        order = ("name", "value", "unit", "target", "pass", "spread", "baseline", "reason")
        values["pass"] = values.pop("passed")
        return {key: values[key] for key in order}


class Figures:
    """Collects the figures of one run, in order."""

    def __init__(self) -> None:
        self.all: list[Figure] = []

    def note(self, name: str, value, unit: str | None = None, **more) -> Figure:
        """A figure without a target."""
        self.all.append(Figure(name, value, unit, **more))
        return self.all[-1]

    def at_most(self, name: str, value, limit, unit: str | None = None, **more) -> Figure:
        sign = "" if limit == 0 else "<= "
        return self._judged(name, value, unit, f"{sign}{limit:g}", value <= limit, more)

    def at_least(self, name: str, value, limit, unit: str | None = None, **more) -> Figure:
        return self._judged(name, value, unit, f">= {limit:g}", value >= limit, more)

    def holds(self, name: str, value, target: str, passed: bool, **more) -> Figure:
        """A figure with a target in words."""
        return self._judged(name, value, None, target, passed, more)

    def not_judged(self, name: str, target: str, reason: str) -> Figure:
        """A target whose precondition this machine lacks."""
        self.all.append(Figure(name, None, None, target, None, reason=reason))
        return self.all[-1]

    def failed(self) -> list[Figure]:
        return [figure for figure in self.all if figure.passed is False]

    def write_json(self, path: str) -> None:
        listed = [figure.as_json() for figure in self.all]
        Path(path).write_text(json.dumps(listed, indent=1) + "\n")

    def table(self) -> str:
        rows = [("figure", "value", "target", "beside", "")]
        rows += [_row(figure) for figure in self.all]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = []
        for row in rows:
            name = row[0].ljust(widths[0])
            cells = [cell.rjust(width) for cell, width in zip(row[1:4], widths[1:])]
            lines.append("  ".join([name, *cells, row[4]]).rstrip())
        lines.insert(1, "-" * max(len(line) for line in lines))
        return "\n".join(lines)

    def _judged(self, name, value, unit, target, passed, more) -> Figure:
        self.all.append(Figure(name, value, unit, target, bool(passed), **more))
        return self.all[-1]


def sentence(figure: Figure) -> str:
    """The figure on one line, for printing while the story goes on."""
    _, value, target, beside, verdict = _row(figure)
    parts = [f"{figure.name}: {value}"]
    if beside:
        parts.append(f"beside {beside}")
    if target:
        parts.append(f"target {target}")
    return ", ".join(parts) + (f"  {verdict}" if verdict else "")


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    verdict = {True: "ok", False: "MISSED", None: "not judged" if figure.target else ""}
    remark = verdict[figure.passed]
    if figure.reason:
        remark = f"{remark}  ({figure.reason})" if remark else f"({figure.reason})"
    unit = f" {figure.unit}" if figure.unit else ""
    baseline = "" if figure.baseline is None else f"{_number(figure.baseline)}{unit}"
    value = "-" if figure.value is None else f"{_number(figure.value)}{unit}"
    return (figure.name, value, figure.target or "", baseline, remark)


def _number(value) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return str(value)


def report(figures: Figures, json_path: str | None) -> int:
    """Prints the table, writes the file when asked, returns the exit status."""
    print(figures.table())
    if json_path:
        figures.write_json(json_path)
    missed = figures.failed()
    if missed:
        print(f"{len(missed)} of {len(figures.all)} figures missed", file=sys.stderr)
    return 1 if missed else 0
