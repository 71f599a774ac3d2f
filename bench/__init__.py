"""Benches: each claim of docs/performance.md against a named peer, in one run. This package file holds what they share.

A bench runs us and the peer in turns (A B, B A, ...), so that whatever drifts on a shared machine drifts for both, and
states the ratio of each pair: its median, and the smallest and largest as its spread. It prints a table, and writes JSON
with the machine and the peer's version.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "var" / "bench"

Figure = TypeVar("Figure")


@dataclass(frozen=True)
class Claim:
    """One row of a bench: a promise, and what each turn measured.

    `ours` and `peer` hold one figure for each turn, in `unit`. With a peer the promise bounds the ratio ours / peer,
    without one it bounds our median. A bound is a least figure (speed) or a largest one (memory, delay); without
    either the row only informs.
    """

    name: str
    unit: str
    ours: Sequence[float]
    peer_name: str = ""
    peer: Sequence[float] = ()
    at_least: float | None = None
    at_most: float | None = None

    @property
    def turns(self) -> list[float]:
        """What the promise speaks of, for each turn."""
        if not self.peer:
            return list(self.ours)
        return [ours / peer for ours, peer in zip(self.ours, self.peer, strict=True)]

    @property
    def figure(self) -> float:
        return statistics.median(self.turns)

    @property
    def kept(self) -> bool:
        return (self.at_least is None or self.figure >= self.at_least) and (
            self.at_most is None or self.figure <= self.at_most
        )

    def as_dict(self) -> dict[str, Any]:
        found = {"figure": self.figure, "spread": [min(self.turns), max(self.turns)], "kept": self.kept}
        return {**asdict(self), **found}

    def __str__(self) -> str:
        unit = "x" if self.peer else self.unit
        line = f"{self.name}: {self.figure:.4g} {unit} ({min(self.turns):.4g} to {max(self.turns):.4g})"
        for sign, bound in ((">=", self.at_least), ("<=", self.at_most)):
            if bound is not None:
                line += f", promised {sign} {bound:g}: {'kept' if self.kept else 'NOT KEPT'}"
        if self.peer:
            ours, peer = statistics.median(self.ours), statistics.median(self.peer)
            line += f"\n    ours {ours:.4g}, {self.peer_name} {peer:.4g} {self.unit}, {len(self.turns)} turns"
        return line


def in_turns(ours: Callable[[], Figure], peer: Callable[[], Figure], rounds: int) -> tuple[list[Figure], list[Figure]]:
    """Run both `rounds` times, the first of each pair changing places."""
    found: tuple[list[Figure], list[Figure]] = ([], [])
    for turn in range(rounds):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            found[side].append((ours, peer)[side]())
    return found


def machine() -> dict[str, Any]:
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": model[0].split(":")[1].strip() if model else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "load_1m": round(os.getloadavg()[0], 1),
    }


def peak_memory(pid: int) -> int:
    """The most bytes that process `pid` ever had resident (VmHWM of proc(5)); read it before the process ends."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"Process {pid} has ended.")


def own_environment(name: str, *requirements: str) -> Path:
    """The Python of a virtual environment that holds only a peer, made on first use below var/bench. A list of
    requirements that differs makes another one."""
    folder = RESULTS / "environments" / name
    wanted = "\n".join(requirements)
    python, made = folder / "bin" / "python", folder / "requirements.txt"
    if not made.exists() or made.read_text() != wanted:
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        made.write_text(wanted)
    return python


def versions(*packages: str) -> dict[str, str]:
    return {name: metadata.version(name) for name in packages}


def options(doc: str | None, **defaults: int | float) -> argparse.Namespace:
    """The command line of a bench: its docstring as help, `--out FILE`, and a number for each of `defaults`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the JSON's file (default: var/bench/NAME.json)")
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    return parser.parse_args()


def report(claims: Sequence[Claim], facts: Mapping[str, Any], out: Path | None) -> None:
    """Print the claims and write them with `facts` (settings, versions) and the machine as JSON."""
    found = {"machine": machine(), "claims": [claim.as_dict() for claim in claims], **facts}
    out = out or RESULTS / f"{Path(sys.argv[0]).stem}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n")
    print(*claims, sep="\n")
    print(f"({found['machine']['processor']}, {found['machine']['cores']} cores, load {found['machine']['load_1m']})")
