# SPDX-License-Identifier: Apache-2.0
"""From samples to figures: the median, the spread around it, what it is compared with, its target.

The spread is the largest distance of a sample from the median. Samples stand in the order in which
they were taken: where the medians of a run's two halves differ by more than a tenth, something else
went on at the machine meanwhile, and the figure is marked.
"""

import json
import math
import statistics
import subprocess
from pathlib import Path

from holdfast_lab.figures import Figure, Figures

from targets import AT_LEAST, AT_MOST

MOST_BETWEEN_HALVES = 0.10


def spread(samples: list[float]) -> float:
    middle = statistics.median(samples)
    return max(abs(sample - middle) for sample in samples)


def disagreement(samples: list[float]) -> float:
    """How far the medians of the two halves are apart, as a share of the median of all."""
    half = len(samples) // 2
    middle = statistics.median(samples)
    if half == 0 or middle == 0:
        return 0.0
    first, second = statistics.median(samples[:half]), statistics.median(samples[-half:])
    return abs(first - second) / abs(middle)


def short(value: float) -> float | int:
    """Four significant digits: more of them say nothing."""
    if value == 0 or not math.isfinite(value):
        return 0
    rounded = round(value, 3 - math.floor(math.log10(abs(value))))
    return int(rounded) if rounded == int(rounded) else rounded


def target_of(name: str) -> str | None:
    if name in AT_MOST:
        return f"<= {AT_MOST[name]:g}"
    return f">= {AT_LEAST[name]:g}" if name in AT_LEAST else None


def record(figures: Figures, name: str, samples: list[float], unit: str,
           beside: list[float] | None = None, unjudged: str = "", **more) -> Figure:
    """Adds the figure, judged by its target if it has one, unless `unjudged` says why it is not."""
    apart = disagreement(samples)
    if apart > MOST_BETWEEN_HALVES:
        mark = f"halves of the run differ by {apart:.0%}"
        more["reason"] = f"{more['reason']}; {mark}" if more.get("reason") else mark
    if beside:
        more["baseline"] = short(statistics.median(beside))
    value = short(statistics.median(samples))
    more["spread"] = short(spread(samples))
    if unjudged:
        more["reason"] = f"{unjudged}; {more['reason']}" if more.get("reason") else unjudged
        return figures.note(name, value, unit, target=target_of(name), **more)
    if name in AT_MOST:
        return figures.at_most(name, value, AT_MOST[name], unit, **more)
    if name in AT_LEAST:
        return figures.at_least(name, value, AT_LEAST[name], unit, **more)
    return figures.note(name, value, unit, **more)


def record_ratio(figures: Figures, name: str, above: list[float], below: list[float]) -> Figure:
    """The median of the rounds' ratios."""
    return record(figures, name, [one / other for one, other in zip(above, below)], "ratio")


def record_failure(figures: Figures, name: str, error: object) -> None:
    """A part that gave no figure."""
    reason = " ".join(str(error).split())[-300:]
    figures.holds(name, "none", "a figure", False, reason=reason)


def measured_by(*command: str | Path) -> list[dict]:
    """What a benchmark program prints. Raises RuntimeError when it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def run_program(figures: Figures, *command: str | Path) -> list[dict]:
    """Runs a benchmark program, records what it measured and returns it."""
    try:
        measured = measured_by(*command)
    except RuntimeError as error:
        record_failure(figures, Path(command[0]).name, error)
        return []
    for one in measured:
        if one["samples"]:
            record(figures, one["name"], one["samples"], one["unit"], one["beside"],
                   reason=one["remark"] or None)
        else:
            figures.note(one["name"], None, reason=one["remark"])
    return measured
