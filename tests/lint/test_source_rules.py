# SPDX-License-Identifier: Apache-2.0
"""The checker of the source rules finds what it is there to find."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import source_rules  # noqa: E402
from cpp_functions import functions  # noqa: E402

CODE = '''\
namespace a {
struct Point {
  Point(int x, int y) : x_{x}, y_(y) {
    move();
  }
  int x_ = 0;
  std::vector<int> list_{1, 2};
};
constexpr auto kTable = build({1, 2, 3});
// int hidden() {
const char* text = R"(void raw() {)" "}{";
template <typename T>
auto Point::operator()(T value) const -> decltype(f(value)) {
  auto inner = [&](int i) {
    return i;
  };
  if (value) {
    for (;;) {
    }
  }
  return '{' + 1'000;
}
TEST(Suite, Name) {
}
}  // namespace a
'''


def test_functions_are_found_with_their_lengths():
    found = [(one.name, one.line, one.lines) for one in functions(CODE)]
    assert found == [("Point", 3, 3), ("Point::operator()", 12, 11), ("TEST", 23, 2)]


@pytest.mark.parametrize(
    ("path", "include", "allowed"),
    [
        ("dataplane/parse.cc", "<span>", True),
        ("dataplane/parse.cc", '"dataplane/burst.h"', True),
        ("dataplane/parse.cc", "<rte_mbuf.h>", False),
        ("dataplane/parse.cc", '"dataplane/process/port.h"', False),
        ("dataplane/parse.cc", "<fmt/format.h>", False),
        ("dataplane/process/port.cc", "<rte_mbuf.h>", True),
        ("dataplane/process/port.cc", '"control/admin/operator.h"', False),
        ("config/load.cc", "<yaml-cpp/yaml.h>", True),
        ("config/load.cc", '"dataplane/spec.h"', False),
        ("control/probe/http.cc", "<rte_ethdev.h>", False),
        ("control/probe/http.cc", '"dataplane/api/client.h"', True),
        ("control/probe/http.cc", '"dataplane/process/worker.h"', False),
        ("control/probe/http.cc", "<boost/asio.hpp>", False),
        ("tests/unit/dataplane/parse_test.cc", "<rte_mbuf.h>", False),
    ],
)
def test_include_rules(path, include, allowed):
    report = source_rules.Report()
    source_rules.check_includes(path, f"#include {include}\n", report)
    assert (not report.breaches) == allowed


def tree_with(tmp_path: Path, name: str, text: str) -> source_rules.Report:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    report = source_rules.Report()
    source_rules.check_names(tmp_path, [path], report)
    source_rules.check_file(tmp_path, path, report)
    return report


LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"


@pytest.mark.parametrize(
    ("name", "text", "breach"),
    [
        ("config/a.cc", "int a;\n", "does not begin with"),
        ("config/a.cc", LICENCE + "\n" * 600, "lines; none may have over 600"),
        ("config/a.cc", LICENCE + "int f() {" + "\n" * 81 + "}\n", "f has 82 lines"),
        ("config/utils/a.cc", LICENCE, "'utils' says nothing"),
        ("config/helpers.cc", LICENCE, "'helpers' says nothing"),
        ("config/a.cc", LICENCE + "// TO" "DO: later\n", "unfinished work"),
    ],
)
def test_breaches_are_named(tmp_path, monkeypatch, name, text, breach):
    monkeypatch.setattr(source_rules, "__file__", str(tmp_path / "elsewhere.py"))
    report = tree_with(tmp_path, name, text)
    assert len(report.breaches) == 1
    assert breach in report.breaches[0]


def test_a_sound_file_has_no_breach(tmp_path, monkeypatch):
    monkeypatch.setattr(source_rules, "__file__", str(tmp_path / "elsewhere.py"))
    assert tree_with(tmp_path, "config/a.cc", LICENCE + "int f() { return 1; }\n").breaches == []
