"""How fast are near-duplicates found among rows, against datasketch?

    python -m bench.near_duplicates [--rows 100000] [--rounds 3] [--out FILE]

Made-up rows of 30 to 70 words, a tenth of them copies of an earlier one with one or some words changed. Ours is
jobs/ml/duplicates.py as the default worker uses it. Peer: datasketch from PyPI in an environment of its own, the same
parameters (128 permutations, threshold 0.8, runs of three words), its fastest scheme (affine32), signatures by
MinHash.generator, then for every row a query of MinHashLSH and an insert. Each runs in a process of its own and times itself
from texts in memory to the list of rows that resemble an earlier one. Both must find alike: of the copies whose exact
Jaccard similarity is at least 0.8 we find as large a share as the peer does. Promised: at most twice the peer's time, 600 MB.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MB = 1e6


def shingled(text: str) -> list[bytes]:
    words = text.lower().split()
    return [" ".join(words[at : at + 3]).encode() for at in range(max(1, len(words) - 2))]


def ours(texts: list[str]) -> set[int]:
    from jobs.ml.duplicates import NearDuplicates

    near = NearDuplicates(len(texts))
    near.add(texts)
    return {row for row, first in enumerate(near.groups().tolist()) if first != row}


def peer(texts: list[str]) -> set[int]:
    from datasketch import MinHash, MinHashLSH

    index, found = MinHashLSH(threshold=0.8, num_perm=128), set()
    made = MinHash.generator(map(shingled, texts), num_perm=128, scheme="affine32")
    for row, signature in enumerate(made):
        if index.query(signature):
            found.add(row)
        index.insert(row, signature, check_duplication=False)
    return found


def turn(side: str, folder: Path) -> None:
    texts = json.loads((folder / "texts.json").read_text())
    find = {"ours": ours, "peer": peer}[side]
    find(texts[:2000])  # imports and first allocations
    began = time.perf_counter()
    found = find(texts)
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    print(json.dumps({"seconds": took, "peak": peak, "found": sorted(found)}))


def made(rows: int) -> tuple[list[str], dict[int, float]]:
    """The texts, and for each copy how alike it is to its original."""
    from bench._words import words

    draw, vocabulary = random.Random(3), words(5000)
    texts: list[str] = []
    alike: dict[int, float] = {}
    for row in range(rows):
        if row and row % 10 == 0:
            original = draw.randrange(row)
            changed = texts[original].split()
            for at in draw.sample(range(len(changed)), draw.choice((1, 1, 2, 4))):
                changed[at] = draw.choice(vocabulary)
            texts.append(" ".join(changed))
            one, other = set(shingled(texts[original])), set(shingled(texts[row]))
            alike[row] = len(one & other) / len(one | other)
        else:
            texts.append(" ".join(draw.choices(vocabulary, k=draw.randint(30, 70))))
    return texts, alike


def main() -> None:
    if sys.argv[1:2] and sys.argv[1] in ("ours", "peer"):
        turn(sys.argv[1], Path(sys.argv[2]))
        return
    from bench import ROOT, Claim, in_turns, options, own_environment, report

    chosen = options(__doc__, rows=100_000, rounds=3)
    python = own_environment("datasketch", "datasketch==2.0.0")
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as name:
        folder = Path(name)
        texts, alike = made(chosen.rows)
        (folder / "texts.json").write_text(json.dumps(texts))

        def run(side: str, interpreter: Any) -> dict[str, Any]:
            command = [interpreter, "-m", "bench.near_duplicates", side, str(folder)]
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            return json.loads(subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE).stdout)

        mine, theirs = in_turns(lambda: run("ours", sys.executable), lambda: run("peer", python), chosen.rounds)
    near = {row for row, share in alike.items() if share >= 0.8}

    def share(found: dict[str, Any]) -> float:
        return len(near & set(found["found"])) / len(near)

    claims = [
        Claim(f"near-duplicates among {chosen.rows:,} rows", "s", [run["seconds"] for run in mine], "datasketch",
              [run["seconds"] for run in theirs], at_most=2),
        Claim("copies with similarity of at least 0.8 that are found", "share", [share(run) for run in mine], "datasketch",
              [share(run) for run in theirs], at_least=0.97),
        Claim("rows found that are less alike or no copies", "rows + 1", [len(set(run["found"]) - near) + 1 for run in mine],
              "datasketch", [len(set(run["found"]) - near) + 1 for run in theirs]),
        Claim("peak memory, texts included", "MB", [run["peak"] for run in mine], at_most=600),
        Claim("peak memory against the peer", "MB", [run["peak"] for run in mine], "datasketch", [run["peak"] for run in theirs]),
    ]  # fmt: skip
    report(claims, {"rows": chosen.rows, "datasketch": "2.0.0, affine32, sha1"}, chosen.out)


if __name__ == "__main__":
    main()
