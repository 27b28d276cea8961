# SPDX-License-Identifier: Apache-2.0
"""Every check of the sources: `./run lint [--fast] [--json FILE]`.

Formatting, sizes and include rules, shell and Python checks, clang-tidy. With --fast clang-tidy
sees only the files that git shows as changed. Prints one line per check; exit status 1 when one
fails. run_tests.py calls the same checks.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).parent))
import tidy  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
CPP_FOLDERS = ("config", "dataplane", "control", "tests", "bench")
PYTHON_FOLDERS = ("tests", "tools", "demo", "bench")
SHELL_SCRIPTS = ("run", ".ci/run", "tools/packages.sh", "tools/build.sh", "tools/install_packages")


@dataclass
class Outcome:
    """How one check ended. `passed` None: skipped, for the reason in `output`."""

    name: str
    passed: bool | None
    output: str
    seconds: float


def files_below(folders: tuple[str, ...], *suffixes: str) -> list[str]:
    found = []
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                found.append(str(path.relative_to(ROOT)))
    return found


def changed_files() -> set[str] | None:
    """What differs from the last commit; None outside a git checkout."""
    # The checkout may belong to another uid.
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT)]
    names: set[str] = set()
    for command in (["diff", "--name-only", "HEAD"], ["ls-files", "--others", "--exclude-standard"]):
        try:
            done = subprocess.run(git + command, capture_output=True, text=True)
        except FileNotFoundError:
            return None
        if done.returncode != 0:
            return None
        names |= set(done.stdout.splitlines())
    return names


def run_program(*command: str) -> tuple[bool, str]:
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode == 0, done.stdout


def check_format() -> tuple[bool, str]:
    files = files_below(CPP_FOLDERS, ".cc", ".h")
    return run_program("clang-format-19", "--dry-run", "-Werror", *files)


def check_rules() -> tuple[bool, str]:
    return run_program(sys.executable, "tests/lint/source_rules.py", ".")


def check_shell() -> tuple[bool, str]:
    return run_program("shellcheck", "--external-sources", *SHELL_SCRIPTS)


def check_python() -> tuple[bool, str]:
    return run_program("pyflakes3", *files_below(PYTHON_FOLDERS, ".py"))


def checks(scope: tidy.Scope | None) -> list[tuple[str, Callable]]:
    """The checks in order; `scope` None leaves clang-tidy out."""
    listed: list[tuple[str, Callable]] = [
        ("clang-format", check_format),
        ("source rules", check_rules),
        ("shellcheck", check_shell),
        ("pyflakes", check_python),
    ]
    if scope is not None:
        listed.append(("clang-tidy", lambda: tidy.check(ROOT, scope)[:2]))
    return listed


def run_checks(listed: list[tuple[str, Callable]]) -> list[Outcome]:
    outcomes = []
    for name, check in listed:
        start = time.monotonic()
        passed, output = check()
        outcome = Outcome(name, passed, output, time.monotonic() - start)
        outcomes.append(outcome)
        if not passed:
            print(output.rstrip())
        verdict = "ok" if passed else "FAILED"
        print(f"lint: {name}: {verdict} ({outcome.seconds:.1f} s)", flush=True)
    return outcomes


def as_figures(outcomes: list[Outcome]) -> list[dict]:
    return [
        {
            "name": f"lint {outcome.name}",
            "value": outcome.seconds,
            "unit": "s",
            "target": "no finding",
            "pass": outcome.passed,
            "spread": None,
            "baseline": None,
            "reason": None if outcome.passed else outcome.output[-2000:],
        }
        for outcome in outcomes
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    changed = changed_files() if arguments.fast else None
    scope = tidy.Scope(changed=None if changed is None else frozenset(changed))
    outcomes = run_checks(checks(scope))
    if arguments.json:
        arguments.json.write_text(json.dumps(as_figures(outcomes), indent=1) + "\n")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
