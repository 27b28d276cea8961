# SPDX-License-Identifier: Apache-2.0
"""Finds the functions of a C++ file and their lengths, without a compiler.

A small scanner, enough for formatted code: comments, literals and preprocessor lines are blanked,
then braces are followed. A brace at namespace or class level opens a function when a parameter list
stands before it and it is no initialiser.
"""

import re
from dataclasses import dataclass

_TOKENS = re.compile(
    r"""
    (?P<raw>R"(?P<tag>[^()\s\\]{0,16})\(.*?\)(?P=tag)")
  | (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<string>"(?:\\.|[^"\\\n])*")
  | (?P<digits>(?<![\w'])\d[\w']*)
  | (?P<char>'(?:\\.|[^'\\\n])+')
  | (?P<directive>^[ \t]*\#(?:\\\n|[^\n])*)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_SCOPE = re.compile(
    r"^\s*(?:template\s*<.*>\s*)?(?:export\s+|inline\s+|typedef\s+)*"
    r"(?:namespace|class|struct|union|enum|extern)\b(?![^{]*\)\s*(?:const|noexcept|override)*\s*$)",
    re.DOTALL,
)
_INITIALISER_LIST = re.compile(r"\)\s*(?:noexcept\s*)?:\s*(?!:)")
_NAME = re.compile(r"([\w:]*operator\s*\(\s*\)|[\w:]*operator\s*[^\s(\w]+|[~\w:]+)\s*\(")


@dataclass(frozen=True)
class Function:
    name: str
    line: int
    lines: int


def blanked(text: str) -> str:
    """The text with everything that could hide a brace replaced by spaces; lines stay lines."""

    def blank(found: re.Match) -> str:
        return re.sub(r"[^\n]", " ", found.group())

    return _TOKENS.sub(blank, text)


def functions(text: str) -> list[Function]:
    return _Scanner(blanked(text)).scan()


class _Scanner:
    def __init__(self, text: str):
        self._text = text
        self._found: list[Function] = []
        self._open: list[tuple[str, int]] = []  # kind, offset of the head's first character
        self._head = 0
        self._parentheses = 0

    def scan(self) -> list[Function]:
        for offset, character in enumerate(self._text):
            if character in "([":
                self._parentheses += 1
            elif character in ")]":
                self._parentheses -= 1
            elif character == "{":
                self._opened(offset)
            elif character == "}":
                self._closed(offset)
            elif character == ";" and self._at_declarations():
                self._head = offset + 1
        return self._found

    def _at_declarations(self) -> bool:
        return self._parentheses == 0 and all(kind == "scope" for kind, _ in self._open)

    def _opened(self, offset: int) -> None:
        kind = "inner"
        head = self._text[self._head : offset]
        if self._at_declarations():
            kind = self._kind_of(head)
        self._open.append((kind, self._head))
        if kind == "scope":
            self._head = offset + 1

    def _kind_of(self, head: str) -> str:
        if _SCOPE.match(re.sub(r"\[\[.*?\]\]", "", head)):
            return "scope"
        before = head.rstrip()
        if "(" not in before or before.endswith(("=", ",", "return")):
            return "inner"
        if _INITIALISER_LIST.search(before) and re.search(r"[\w>]$", before):
            return "inner"  # a member initialised with braces; the body follows
        return "function"

    def _closed(self, offset: int) -> None:
        if not self._open:
            return
        kind, head = self._open.pop()
        if kind == "function":
            start = head + len(self._text[head:offset]) - len(self._text[head:offset].lstrip())
            name = _NAME.search(self._text[start:offset])
            first = self._text.count("\n", 0, start) + 1
            last = self._text.count("\n", 0, offset) + 1
            found = name.group(1) if name else "?"
            self._found.append(Function(found, first, last - first + 1))
        if kind in ("function", "scope"):
            self._head = offset + 1
