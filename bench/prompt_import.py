"""How long does taking many new prompts in take, against saving them one by one?

    python -m bench.prompt_import [--prompts 500] [--rounds 3] [--out FILE]

Chat prompts of 400 characters with tags and parameters, half of them with the label production, over a fresh PostgreSQL and
Valkey. Ours: workspace/intake.py, as the import page calls it. Peer, in turns with it: Prompt.start and PromptLabel.move for
each, as the editor and the API save, in one transaction. The promise is a quarter of the time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from bench import ROOT, Claim, in_turns, options, report
from bench.data_import import services


def turns(prompts: int, rounds: int) -> None:
    """Runs beside the services, in Django."""
    import django

    django.setup()
    from django.db import transaction

    from workspace import intake
    from workspace.interchange.drafts import Draft
    from workspace.models import Prompt, PromptLabel, Team, User

    alice = User.objects.create_user("alice@example.com", "x")
    by = Team.found("Bench", alice).memberships.get()
    said = [
        {"role": "system", "content": "You answer customers of {{company}} in {{language}}. Be brief and exact. " * 5},
        {"role": "user", "content": "{{question}}"},
    ]

    def emptied() -> float:
        Prompt.objects.all().delete()
        return time.perf_counter()

    def ours() -> float:
        drafts = [
            Draft(f"[{n}]", f"f{n % 20}/p{n}", messages=list(said), tags=["a"], config={"temperature": 0.2},
                  labels=["production"] * (n % 2))
            for n in range(prompts)
        ]  # fmt: skip
        began = emptied()
        with transaction.atomic():
            outcomes = intake.take_in(drafts, by)
        took = time.perf_counter() - began
        assert intake.counted(outcomes) == {intake.NEW: prompts}
        return took

    def peer() -> float:
        began = emptied()
        with transaction.atomic():
            for n in range(prompts):
                new = Prompt.start(team=by.team, author=alice, name=f"f{n % 20}/p{n}", messages=said, tags=["a"],
                                   config={"temperature": 0.2}, note="Imported")  # fmt: skip
                if n % 2:
                    PromptLabel.move(new.versions.get(), "production", by=by)
        return time.perf_counter() - began

    ours()  # imports and connections
    print(json.dumps(in_turns(ours, peer, rounds)))


def main() -> None:
    if sys.argv[1:2] == ["turns"]:
        turns(int(sys.argv[2]), int(sys.argv[3]))
        return
    chosen = options(__doc__, prompts=500, rounds=3)
    with services() as env:
        command = [sys.executable, "-m", "bench.prompt_import", "turns", str(chosen.prompts), str(chosen.rounds)]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **env}, check=True, stdout=subprocess.PIPE, text=True
        )
    ours, peer = json.loads(done.stdout.splitlines()[-1])
    name = f"taking in {chosen.prompts:,} prompts"
    report([Claim(name, "s", ours, "one by one", peer, at_most=0.25)], {"prompts": chosen.prompts}, chosen.out)


if __name__ == "__main__":
    main()
