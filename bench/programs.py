# SPDX-License-Identifier: Apache-2.0
"""The parts that a program of their own measures: pipeline, tables, publication."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from holdfast_lab.figures import Figures

from measured import record, record_failure, record_ratio, run_program, short, spread


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
    command = [build / "collision_bench", "--benchmark_format=json", "--benchmark_repetitions=3",
               "--benchmark_min_time=0.1"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        record_failure(figures, "collisions", done.stderr)
        return
    runs = [run for run in json.loads(done.stdout)["benchmarks"] if run["run_type"] == "iteration"]
    by_name: dict[str, list[dict]] = {}
    for run in runs:
        by_name.setdefault(run["run_name"].split("/iterations")[0].replace("/", "."), []).append(run)
    for name, repeated in by_name.items():
        for step in ("insert", "find"):
            record(figures, f"{name}.{step}", [run[f"{step}_colliding"] for run in repeated],
                   "ns/flow", [run[f"{step}_random"] for run in repeated])
            _record_beside_random(figures, f"{name}.{step}.beside_random",
                                  [run[f"{step}_ratio"] for run in repeated])
        tracked = statistics.median(run["tracked"] for run in repeated)
        figures.note(f"{name}.tracked", short(100 * tracked), "%")


def _record_beside_random(figures: Figures, name: str, ratios: list[float]) -> None:
    value, noise = short(statistics.median(ratios)), short(spread(ratios))
    if name.startswith("keyed."):
        figures.at_most(name, value, 2, "ratio", spread=noise)
    else:
        figures.note(name, value, "ratio", spread=noise)


def bench_wire(figures: Figures, build: Path) -> None:
    script = Path(__file__).with_name("wire.py")
    for one in run_program(figures, sys.executable, script, build):
        if one["name"].endswith(".requests") and ".routed." not in one["name"]:
            record_ratio(figures, one["name"].replace(".requests", ".of_routed"), one["samples"],
                         one["beside"])
