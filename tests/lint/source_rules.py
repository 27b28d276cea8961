# SPDX-License-Identifier: Apache-2.0
"""Checks what no compiler checks: sizes, include rules, names and headers of the source files.

    source_rules.py ROOT [--json FILE]

Run by ctest and by `./run lint`. Prints one line per breach and the distribution of sizes; exit
status 1 when there is a breach.
"""

import argparse
import ast
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from cpp_functions import functions  # noqa: E402

SOURCE_FOLDERS = ("config", "dataplane", "control", "tests", "bench", "demo", "tools", ".ci")
CPP = {".cc", ".h"}
SCRIPTS = {".py", ".sh", ".lua"}
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 600, 80
FILE_P95, FUNCTION_P95 = 400, 40
LICENCE = "SPDX-License-Identifier: Apache-2.0"
VAGUE = re.compile(r"^(utils?|common|helpers?|misc)$")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)
STANDARD = re.compile(r"^[a-z_0-9]+$|^[a-z]+intrin\.h$")


@dataclass(frozen=True)
class Rule:
    """Files whose path matches `where` may include only what `allowed` matches, nothing forbidden."""

    where: re.Pattern
    why: str
    ours: re.Pattern | None = None  # what "ours" may be
    others: re.Pattern | None = None  # what <others> may be, besides the standard library
    forbidden: re.Pattern | None = None


def _rule(where: str, why: str, **patterns: str) -> Rule:
    compiled = {name: re.compile(pattern) for name, pattern in patterns.items()}
    return Rule(re.compile(where), why, **compiled)


RULES = (
    _rule(
        r"^dataplane/[^/]+$",
        "the stages are pure: the standard library and dataplane/ only",
        ours=r"^dataplane/[^/]+\.h$",
        others=r"^(arpa/inet\.h)$",
    ),
    _rule(
        r"^config/",
        "config/ is a leaf: it includes nothing of ours",
        ours=r"^config/",
        others=r"^(yaml-cpp/|fmt/|[a-z_]+\.h$|(sys|arpa|netinet)/)",
    ),
    _rule(
        r"^dataplane/api/",
        "the seam knows the specifications only",
        ours=r"^(dataplane/[^/]+\.h|dataplane/api/|dataplane\.pb\.h)",
    ),
    _rule(
        r"^dataplane/process/",
        "the dataplane knows neither control nor configuration",
        ours=r"^(dataplane/|dataplane\.pb\.h)",
    ),
    _rule(
        r"^control/",
        "control/ reaches the dataplane through the seam",
        forbidden=r"^(dataplane/process/|rte_)",
    ),
    _rule(
        r"^(?!dataplane/process/|tests/unit/process/|bench/)",
        "DPDK is known in dataplane/process/ only",
        forbidden=r"^(rte_|ethdev_)",
    ),
    _rule(r"^", "include the narrow Asio headers", forbidden=r"^boost/asio\.hpp$"),
)


@dataclass
class Report:
    breaches: list[str] = field(default_factory=list)
    file_lines: list[int] = field(default_factory=list)
    function_lines: list[int] = field(default_factory=list)

    def breach(self, path: str, line: int, what: str) -> None:
        self.breaches.append(f"{path}:{line}: {what}")


def check_includes(path: str, text: str, report: Report) -> None:
    for found in INCLUDE.finditer(text):
        quoted, target = found.group(1) == '"', found.group(2)
        for rule in RULES:
            if rule.where.match(path) and not _may_include(rule, quoted, target):
                line = text.count("\n", 0, found.start()) + 1
                report.breach(path, line, f"includes {target}: {rule.why}")


def _may_include(rule: Rule, quoted: bool, target: str) -> bool:
    if rule.forbidden is not None and rule.forbidden.match(target):
        return False
    if quoted:
        return rule.ours is None or bool(rule.ours.match(target))
    if rule.others is None or STANDARD.match(target):
        return True
    return bool(rule.others.match(target))


def check_sizes(path: str, sizes: list[tuple[str, int, int]], lines: int, report: Report) -> None:
    """`sizes`: name, first line and length of each function."""
    if lines > MOST_LINES_OF_A_FILE:
        report.breach(path, lines, f"{lines} lines; none may have over {MOST_LINES_OF_A_FILE}")
    for name, line, length in sizes:
        if length > MOST_LINES_OF_A_FUNCTION:
            most = MOST_LINES_OF_A_FUNCTION
            report.breach(path, line, f"{name} has {length} lines; none may have over {most}")
    report.file_lines.append(lines)
    report.function_lines += [length for _, _, length in sizes]


def python_functions(text: str) -> list[tuple[str, int, int]]:
    defined = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, defined)
    ]


def check_file(root: Path, path: Path, report: Report) -> None:
    name = path.relative_to(root).as_posix()
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    head = text.split("\n", 2)[:2]
    if not any(LICENCE in line for line in head):
        report.breach(name, 1, f"does not begin with {LICENCE}")
    if path.suffix in CPP:
        found = [(one.name, one.line, one.lines) for one in functions(text)]
        check_includes(name, text, report)
    else:
        found = python_functions(text) if path.suffix == ".py" else []
    check_sizes(name, found, lines, report)
    if name != Path(__file__).resolve().relative_to(root).as_posix():
        for number, line in enumerate(text.splitlines(), 1):
            if UNFINISHED.search(line):
                report.breach(name, number, "unfinished work is an issue, not a comment")


def sources(root: Path) -> list[Path]:
    found = [root / "run"]
    for folder in SOURCE_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            named = path.suffix in CPP | SCRIPTS
            if path.is_file() and named and "__pycache__" not in path.parts:
                found.append(path)
    return found


def check_names(root: Path, paths: list[Path], report: Report) -> None:
    for path in paths:
        parts = path.relative_to(root).parts
        for part in (*parts[:-1], path.stem):
            if VAGUE.match(part):
                report.breach("/".join(parts), 1, f"'{part}' says nothing: name what it holds")


def percentile95(values: list[int]) -> int:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] if ordered else 0


def figures(report: Report) -> list[dict]:
    def figure(name: str, value: int, unit: str, limit: int) -> dict:
        judged = {"name": name, "value": value, "unit": unit, "target": f"<= {limit}"}
        judged |= {"pass": value <= limit, "spread": None, "baseline": None, "reason": None}
        return judged

    return [
        figure("file length p95", percentile95(report.file_lines), "lines", FILE_P95),
        figure("file length max", max(report.file_lines), "lines", MOST_LINES_OF_A_FILE),
        figure("function length p95", percentile95(report.function_lines), "lines", FUNCTION_P95),
        figure(
            "function length max",
            max(report.function_lines, default=0),
            "lines",
            MOST_LINES_OF_A_FUNCTION,
        ),
        figure("breaches of the source rules", len(report.breaches), "", 0),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    report = Report()
    paths = sources(root)
    check_names(root, paths, report)
    for path in paths:
        check_file(root, path, report)
    measured = figures(report)
    print("\n".join(report.breaches + [_sentence(figure) for figure in measured]))
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=1) + "\n")
    return 0 if all(figure["pass"] for figure in measured) else 1


def _sentence(figure: dict) -> str:
    value = f"{figure['value']} {figure['unit']}".rstrip()
    return f"{figure['name']}: {value} (target {figure['target']})"


if __name__ == "__main__":
    sys.exit(main())
