# SPDX-License-Identifier: Apache-2.0
"""./run bench: figures with their median, spread and target. README.md says what each part does."""

import argparse
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support/lab"))

from holdfast_lab.figures import Figure, Figures  # noqa: E402

import latency  # noqa: E402
import machine  # noqa: E402
import open_vswitch  # noqa: E402
import programs  # noqa: E402
import whole_process  # noqa: E402

PARTS = {
    "lookup": programs.bench_lookup,
    "stages": programs.bench_stages,
    "cps": programs.bench_cps,
    "memory": programs.bench_memory,
    "walk": programs.bench_walk,
    "flood": programs.bench_flood,
    "maglev": programs.bench_maglev,
    "bindings": programs.bench_bindings,
    "collisions": programs.bench_collisions,
    "process": whole_process.bench_process,
    "scale": whole_process.bench_scale,
    "publish": programs.bench_publish,
    "disposition": programs.bench_disposition,
    "latency": latency.bench_latency,
    "wire": programs.bench_wire,
    "peers": open_vswitch.bench_peers,
}


def line(figure: Figure, width: int) -> str:
    verdict = {True: "ok", False: "MISSED", None: "not judged" if figure.target else ""}
    noise = "" if figure.spread is None else f"+- {figure.spread:g}"
    beside = "" if figure.baseline is None else f"beside {figure.baseline:g}"
    value = "-" if figure.value is None else figure.value
    judged = f"{figure.target or '':>8} {verdict[figure.passed]}"
    return (f"{figure.name:<{width}} {value!s:>9} {figure.unit or '':<13} {noise:<10} "
            f"{beside:<14} {judged:<18} {figure.reason or ''}").rstrip()


def show(figures: list[Figure]) -> None:
    width = max((len(figure.name) for figure in figures), default=0)
    for figure in figures:
        print(line(figure, width))


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run bench")
    parser.add_argument("build", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="only these")
    words = parser.parse_intermixed_args()  # the parts may stand behind --json FILE
    figures = Figures()
    machine.note_machine(figures)
    show(figures.all)
    for name, bench in PARTS.items():
        if not words.parts or name in words.parts:
            print(f"{name} ...", flush=True)
            start, known = time.monotonic(), len(figures.all)
            bench(figures, words.build)
            show(figures.all[known:])
            print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
    if words.json:
        words.json.write_text(json.dumps([f.as_json() for f in figures.all], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
