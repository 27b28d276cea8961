# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over every translation unit, as many at once as there are cores.

Most of its time goes into the libraries' headers and into the static analyzer. So there is a second
way, which takes a quarter: several files of a library in one unit, without the analyzer. It does not
see unused using-declarations either, which are only looked for in a unit's main file.

A unit that passed is not checked again until its text, a header of ours that it includes, its
compile command, .clang-tidy or clang-tidy itself changes. The passes are remembered in the user's
cache, so that every clone of the tree knows them.
"""

import hashlib
import json
import os
import re
import subprocess
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

_OWN_INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)
_GENERATED = "dataplane/api/dataplane.pb.h"
_PROGRESS_SECONDS = 8.0
_BRIEFLY = (
    "--checks=-clang-analyzer-*,-bugprone-suspicious-include",
    r"--header-filter=.*/(config|dataplane|control)/.*\.(h|cc)$",
)


def configure(root: Path, preset: str) -> tuple[Path | None, str]:
    """Makes a tree with its compile commands and generated headers, nothing else."""
    done = subprocess.run(
        [str(root / "tools" / "build.sh"), preset, _GENERATED],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        return None, done.stdout
    found = subprocess.run(
        ["bash", "-c", 'source "$1" && build_root', "-", str(root / "tools" / "build.sh")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "root": str(root)},
    )
    return Path(found.stdout.strip()) / preset, done.stdout


def passes_folder(tree: Path) -> Path:
    """Where passes are remembered: beside ccache's, or in the tree for a user without a home."""
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME", "") + "/.cache"
    for place in (Path(home) / "holdfast-tidy", tree / "passed"):
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(place, os.W_OK):
            return place
    raise SystemExit(f"lint: neither {home} nor {tree} can be written")


class Units:
    """The translation units of ours and the fingerprints of what each depends on."""

    def __init__(self, root: Path, tree: Path):
        self._root = root
        self._tree = tree
        self._headers: dict[Path, set[Path]] = {}
        commands = json.loads((tree / "compile_commands.json").read_text())
        self.commands = {
            Path(entry["file"]): entry["command"]
            for entry in commands
            if "/Unity/" in entry["file"] or not Path(entry["file"]).is_relative_to(tree)
        }
        settings = b"".join(
            path.read_bytes() for path in (root / ".clang-tidy", root / "tests" / ".clang-tidy")
        )
        proto = (root / "dataplane" / "api" / "dataplane.proto").read_bytes()
        version = subprocess.run(["clang-tidy-19", "--version"], stdout=subprocess.PIPE).stdout
        self._common = hashlib.sha256(settings + proto + version + tree.name.encode()).digest()

    def place(self, unit: Path) -> str:
        """Its path below the source tree's root; for a group, that of its target's folder."""
        return unit.relative_to(
            self._tree if unit.is_relative_to(self._tree) else self._root
        ).as_posix()

    def dependencies(self, unit: Path) -> set[Path]:
        """The unit and every file of ours that it includes, directly or not."""
        found: set[Path] = set()
        waiting = [unit]
        while waiting:
            path = waiting.pop()
            if path not in found:
                found.add(path)
                waiting += self._includes_of(path)
        return found

    def _includes_of(self, path: Path) -> set[Path]:
        if path not in self._headers:
            text = path.read_text(encoding="utf-8")
            named = (self._root / name for name in _OWN_INCLUDE.findall(text))
            self._headers[path] = {header for header in named if header.is_file()}
        return self._headers[path]

    def fingerprint(self, unit: Path) -> str:
        command = self.commands[unit].replace(str(self._tree), ".").replace(str(self._root), ".")
        digest = hashlib.sha256(self._common + command.encode())
        for path in sorted(self.dependencies(unit)):
            digest.update(path.read_bytes().replace(str(self._root).encode(), b"."))
        return digest.hexdigest()


@dataclass(frozen=True)
class Scope:
    """Which units are checked, and how."""

    changed: frozenset[str] | None = None  # only what depends on these files; None: all
    product_only: bool = False  # without tests/ and bench/
    brief: bool = False  # several files as one unit, without the static analyzer

    def covers(self, root: Path, unit: Path, units: Units) -> bool:
        if self.product_only and units.place(unit).startswith(("tests/", "bench/")):
            return False
        if self.changed is None:
            return True
        names = {path.relative_to(root).as_posix() for path in units.dependencies(unit)}
        return bool(names & self.changed)


def check(root: Path, scope: Scope, until: float | None = None) -> tuple[bool, str, int]:
    """Returns whether all that were checked passed, the findings, and how many units were left out
    because none is begun after `until` (time.monotonic())."""
    tree, output = configure(root, "tidy-brief" if scope.brief else "tidy")
    if tree is None:
        return False, output, 0
    units = Units(root, tree)
    passes = passes_folder(tree)
    due = [
        unit
        for unit in units.commands
        if scope.covers(root, unit, units) and not (passes / units.fingerprint(unit)).exists()
    ]
    # The longest first, so that none is left over at the end.
    due.sort(key=lambda unit: -sum(path.stat().st_size for path in units.dependencies(unit)))
    print(f"lint: clang-tidy: {len(due)} of {len(units.commands)} units to check", flush=True)
    findings = []
    left_out = 0
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        running = {pool.submit(_tidy, root, tree, unit, scope): unit for unit in due}
        while running:
            if until is not None and time.monotonic() > until:
                cancelled = [future for future in running if future.cancel()]
                left_out += len(cancelled)
                for future in cancelled:
                    del running[future]
            done, _ = wait(running, timeout=_PROGRESS_SECONDS, return_when=FIRST_COMPLETED)
            checked = len(due) - left_out - len(running) + len(done)
            print(f"lint: clang-tidy: {checked} of {len(due)}", flush=True)
            for future in done:
                unit = running.pop(future)
                if future.result():
                    findings.append(future.result())
                else:
                    (passes / units.fingerprint(unit)).touch()
    return not findings, "\n".join(findings), left_out


def _tidy(root: Path, tree: Path, unit: Path, scope: Scope) -> str:
    options = [f"--config-file={root / '.clang-tidy'}", *_BRIEFLY] if scope.brief else []
    done = subprocess.run(
        ["clang-tidy-19", "--quiet", "-p", str(tree), *options, str(unit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode == 0:
        return ""
    return done.stdout if done.stdout.strip() else done.stderr
