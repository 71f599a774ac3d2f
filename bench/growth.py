"""Does the cost grow linearly or better when a team, a run or the number of adapters doubles?

    python -m bench.growth [--people 40] [--points 10000] [--adapters 100] [--rounds 3]

The whole stack with one web process, whose processor time is counted. There are two of each: a team with `people` and one
with twice as many, a run with `points` metric points and events of as many steps and one with twice as many, a team with
`adapters` and one with twice as many. Each turn asks for the same page of the small and of the large one, alternating, and
the promise is a ratio of at most 2.2: linear, and a tenth for noise. Sockets: everyone of a team opens a tab on one chat,
and each is told who is there, so what is said grows with the square of them; then a change is told to all of them. The
number of rows has its own places: bench/data_import.py for imports, bench/prompt_pages.py and bench/page_mix.py for pages
over large tables.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx

from bench import ROOT, Claim, in_turns, options, report
from bench._sockets import Socket, connect
from bench._streams import processor_seconds
from bench.idle_sockets import web_process
from tests.processes import using
from tests.stack import Stack, running

PAGES = 30  # of one kind, counted together: the clock of a process has steps of 10 ms
MOST = 2.2


def fill(sizes: dict[str, int]) -> list[Any]:
    """Runs beside the stack, in Django. Two teams: the second has twice of all."""
    import django

    django.setup()
    from allauth.usersessions.models import UserSession
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from django.utils import timezone

    from jobs.ml.config import TrainConfig
    from jobs.models import Adapter, Dataset, FineTune, LanguageModel, MetricPoint, RunEvent
    from workspace.models import Chat, Membership, Role, Team, User

    def session(user: User) -> str:
        store = SessionStore()
        store[SESSION_KEY], store[BACKEND_SESSION_KEY] = str(user.pk), settings.AUTHENTICATION_BACKENDS[0]
        store[HASH_SESSION_KEY] = user.get_session_auth_hash()
        store.create()
        UserSession.objects.create(user=user, ip="127.0.0.1", session_key=store.session_key)
        return str(store.session_key)

    base, now, found = LanguageModel.objects.get(team=None), timezone.now(), []
    done = {"state": "succeeded", "started_at": now, "finished_at": now, "queued_at": now}
    metrics = {"train_loss": 1.5, "eval_loss": None, "trained_tokens": 90_000, "seconds": 90}
    metrics |= {"peak_memory_bytes": 2 * 10**9, "skipped_rows": 0, "truncated_rows": 0}
    for times in (1, 2):
        people = [User(email=f"person-{number}@team-{times}.example", name=f"Person {number}")
                  for number in range(times * sizes["people"])]  # fmt: skip
        for user in people:
            user.set_unusable_password()
        User.objects.bulk_create(people)
        team = Team.found(f"Team {times}", people[0])
        Membership.objects.bulk_create(Membership(team=team, user=user, role=Role.EDITOR) for user in people[1:])
        dataset = Dataset.objects.create(team=team, author=people[0], name="Mails", counts={"train": 1})
        steps = times * sizes["points"]
        run = FineTune.objects.create(
            team=team, author=people[0], name="Run", base=base, dataset=dataset, config=TrainConfig().to_dict(),
            metrics=metrics | {"best_step": steps}, step=steps, total_steps=steps, **done,
        )  # fmt: skip
        MetricPoint.objects.bulk_create(
            (MetricPoint(finetune=run, kind="train", step=step, loss=2 / (step + 1)) for step in range(steps)), 5000
        )
        RunEvent.objects.bulk_create(
            (RunEvent(finetune=run, kind="metrics", message=f"Step {step}") for step in range(steps)), 5000
        )
        Adapter.objects.bulk_create(
            Adapter(team=team, base=base, name=f"Adapter {number}", folder=f"{times}-{number}", rank=16)
            for number in range(times * sizes["adapters"])
        )
        chat = Chat.objects.create(team=team, author=people[0], model=base, title="All together")
        found.append({"team": team.slug, "run": str(run.pk), "chat": str(chat.pk), "sessions": [*map(session, people)]})
    return found


class Side:
    """One of the two teams, as its owner's browser and everyone's tabs reach it."""

    def __init__(self, stack: Stack, pid: int, made: dict[str, Any]) -> None:
        self.stack, self.pid, self.made = stack, pid, made
        self.browser = httpx.Client(
            base_url=f"{stack.url}/t/{made['team']}", cookies={"sessionid": made["sessions"][0]}
        )

    def spent(self, since: float = 0.0) -> float:
        return 1000 * processor_seconds([self.pid]) - since

    def page(self, path: str) -> float:
        """Processor milliseconds of one."""
        path = path.format(**self.made)
        assert self.browser.get(path).status_code == 200, path
        began = self.spent()
        for _ in range(PAGES):
            self.browser.get(path)
        return self.spent(began) / PAGES

    def crowd(self) -> tuple[float, float]:
        """Everyone opens a tab on one chat; then it gets another name ten times. What both cost for each person."""
        return asyncio.run(self._crowd())

    async def _crowd(self) -> tuple[float, float]:
        heard = 0

        def hear(socket: Socket, text: str) -> None:
            nonlocal heard
            heard += '"changed"' in text
            quiet.set()

        async def settled() -> None:
            """Until nobody has heard anything for a while."""
            while True:
                quiet.clear()
                try:
                    await asyncio.wait_for(quiet.wait(), 1)
                except TimeoutError:
                    return

        quiet, chat = asyncio.Event(), self.made["chat"]
        began, count = self.spent(), len(self.made["sessions"])
        tabs = []
        for session in self.made["sessions"]:
            tabs.append(await connect(self.stack.port, f"/ws/{self.made['team']}/", hear, session=session))
            tabs[-1].send(type="subscribe", to=f"chat:{chat}")
        await settled()
        came, heard = self.spent(began), 0
        await asyncio.to_thread(self.browser.get, f"/chat/{chat}/")
        token = self.browser.cookies["csrftoken"]
        began = self.spent()
        for number in range(10):
            named = {"title": f"Name {number}", "csrfmiddlewaretoken": token}
            await asyncio.to_thread(self.browser.post, f"/chat/{chat}/settings/", data=named)
        await settled()
        told = self.spent(began)
        assert heard >= 10 * count, f"{heard} of {10 * count} heard of a change"
        for tab in tabs:
            tab.transport.close()
        await settled()
        return came, told


MEASURED = {
    "people: the team's settings": "/settings/",
    "people: the list of prompts": "/prompts/",
    "points: the run": "/finetunes/{run}/",
    "points: its curve": "/finetunes/{run}/points/",
    "adapters: the list of models": "/models/",
    "adapters: a chat, which offers all": "/chat/{chat}/",
}


def main() -> None:
    if len(sys.argv) > 2 and sys.argv[1] == "--fill":
        print(json.dumps(fill(json.loads(sys.argv[2]))))
        return
    given = options(__doc__, people=40, points=10_000, adapters=100, rounds=3)
    sizes = {name: getattr(given, name) for name in ("people", "points", "adapters")}
    with running() as stack:
        done = subprocess.run(
            [sys.executable, "-m", "bench.growth", "--fill", json.dumps(sizes)], cwd=ROOT, check=True, text=True,
            stdout=subprocess.PIPE, env={**stack.env, "DJANGO_SETTINGS_MODULE": "llmstudio.settings"},
        )  # fmt: skip
        pid = web_process(using(stack.home))
        small, large = (Side(stack, pid, made) for made in json.loads(done.stdout.splitlines()[-1]))

        def grown(name: str, ours: Callable[[], float], peer: Callable[[], float]) -> Claim:
            twice, once = in_turns(ours, peer, given.rounds)
            return Claim(f"twice the {name}", "ms of processor time", twice, "once", once, at_most=MOST)

        claims = [
            grown(name, lambda path=path: large.page(path), lambda path=path: small.page(path))  # type: ignore[misc]
            for name, path in MEASURED.items()
        ]
        crowds, singles = in_turns(large.crowd, small.crowd, given.rounds)
    for at, name in enumerate(("come to one chat", "hear of ten changes")):
        ours, peer = [one[at] for one in crowds], [one[at] for one in singles]
        claims.append(Claim(f"twice the people {name}", "ms of processor time", ours, "once", peer, at_most=MOST))
    report(claims, sizes, given.out)


if __name__ == "__main__":
    main()
