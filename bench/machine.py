# SPDX-License-Identifier: Apache-2.0
"""On what the figures were taken: what they depend on, and whether others were at work."""

import os
import platform
import re
from pathlib import Path

from holdfast_lab.figures import Figures

QUIET = 0.5  # of the load average of the last minute: below it the machine was ours


def processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found.group(1) if found else platform.machine()


def huge_pages() -> str:
    free = re.search(r"HugePages_Free:\s+(\d+)", Path("/proc/meminfo").read_text())
    transparent = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    mode = re.search(r"\[(\w+)\]", transparent.read_text()) if transparent.exists() else None
    return (f"{free.group(1) if free else 0} free of hugetlbfs, "
            f"transparent ones: {mode.group(1) if mode else 'none'}")


def note_machine(figures: Figures) -> None:
    load = os.getloadavg()[0]
    others = None if load < QUIET else "others are at work here: figures are too high and apart"
    figures.note("machine.cores", os.cpu_count(), reason=processor())
    figures.note("machine.kernel", platform.release())
    figures.note("machine.huge_pages", None, reason=huge_pages())
    figures.note("machine.load_before", round(load, 2), reason=others)
