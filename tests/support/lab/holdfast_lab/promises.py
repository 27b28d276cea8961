# SPDX-License-Identifier: Apache-2.0
"""Figures that a test measures and must reach: each is kept for the table, then asserted."""

from .figures import Figure, Figures, sentence


class Measured:
    """The figures of one test, under a name that says what was done to the running system."""

    def __init__(self, figures: Figures, injected: str):
        self._figures = figures
        self.injected = injected

    def at_most(self, what: str, value, limit, unit: str | None = None, **more) -> None:
        _reached(self._figures.at_most(self._name(what), value, limit, unit, **more))

    def at_least(self, what: str, value, limit, unit: str | None = None, **more) -> None:
        _reached(self._figures.at_least(self._name(what), value, limit, unit, **more))

    def holds(self, what: str, value, target: str, passed: bool, **more) -> None:
        _reached(self._figures.holds(self._name(what), value, target, passed, **more))

    def under(self, injected: str) -> "Measured":
        """The same figures, under another name."""
        return Measured(self._figures, injected)

    def note(self, what: str, value, unit: str | None = None, **more) -> None:
        self._figures.note(self._name(what), value, unit, **more)

    def none(self, report: dict, *events: str, without: str = "") -> None:
        """No such event (lost, moved, broken) in a load's report, but for one backend's flows."""
        for what in events:
            self.at_most(_WORDS[what], count(report, what, without), 0)

    def _name(self, what: str) -> str:
        return f"{self.injected}: {what}"


_WORDS = {"lost": "messages lost", "moved": "flows moved", "broken": "flows reset or broken"}


def count(report: dict, what: str, without: str = "") -> int:
    """The events of that kind, TCP and UDP, but for those of one backend's flows."""
    return sum(
        1 for kind in ("tcp", "udp") for event in report[kind][what] if event[2] != without
    )


def _reached(figure: Figure) -> None:
    assert figure.passed, sentence(figure)
