# SPDX-License-Identifier: Apache-2.0
"""The parts that a program of their own measures: pipeline, tables, publication."""

import statistics
import sys
from pathlib import Path

from holdfast_lab.figures import Figures

from measured import record_ratio, run_program, short, spread


def bench_lookup(figures: Figures, build: Path) -> None:
    measured = run_program(figures, build / "lookup_bench", "--rounds", "8")
    for one in measured:
        if one["beside"]:
            ratios = [own / peer for own, peer in zip(one["samples"], one["beside"])]
            figures.note(f"{one['name']}.beside_rte_hash", short(statistics.median(ratios)), "ratio",
                         spread=short(spread(ratios)))


def bench_stages(figures: Figures, build: Path) -> None:
    run_program(figures, build / "pipeline_bench")


def bench_cps(figures: Figures, build: Path) -> None:
    run_program(figures, build / "cps_bench")


def bench_walk(figures: Figures, build: Path) -> None:
    run_program(figures, build / "walk_bench")


def bench_memory(figures: Figures, build: Path) -> None:
    run_program(figures, build / "memory_bench")


def bench_flood(figures: Figures, build: Path) -> None:
    run_program(figures, build / "flood_bench")


def bench_maglev(figures: Figures, build: Path) -> None:
    run_program(figures, build / "maglev_bench")


def bench_bindings(figures: Figures, build: Path) -> None:
    run_program(figures, build / "bindings_bench")


def bench_publish(figures: Figures, build: Path) -> None:
    run_program(figures, build / "publication_bench", "--only", "publish")


def bench_disposition(figures: Figures, build: Path) -> None:
    run_program(figures, build / "publication_bench", "--only", "disposition")


def bench_collisions(figures: Figures, build: Path) -> None:
    for one in run_program(figures, build / "collision_bench", "--rounds", "15"):
        if one["beside"]:
            record_ratio(figures, f"{one['name']}.beside_random", one["samples"], one["beside"])


def bench_wire(figures: Figures, build: Path) -> None:
    script = Path(__file__).with_name("wire.py")
    for one in run_program(figures, sys.executable, script, build):
        if one["name"].endswith(".requests") and ".routed." not in one["name"]:
            record_ratio(figures, one["name"].replace(".requests", ".of_routed"), one["samples"],
                         one["beside"])
