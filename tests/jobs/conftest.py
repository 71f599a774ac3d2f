"""A chat worker whose engines speak on cue (on_cue.py), and a base to ask it with."""

import pytest

from jobs.models import Generation
from jobs.runners import engines, infer
from jobs.runners.infer import InferRunner
from tests.jobs.on_cue import Engine, make_base


@pytest.fixture
def opened(monkeypatch):
    """The engines that have been opened, by the folder of their base."""
    opened = {}

    def open_engine(kind, path, **options):
        opened.setdefault(path.name, []).append(Engine())
        return opened[path.name][-1]

    monkeypatch.setattr(engines, "open_engine", open_engine)
    monkeypatch.setattr(engines, "choose", lambda path: "llama")
    monkeypatch.setattr(engines, "describe", lambda path: {"template_hash": "t" * 64})
    return opened


@pytest.fixture
def runner(opened, monkeypatch):
    monkeypatch.setattr(infer, "CLAIM_SECONDS", 0)  # nobody rings
    runner = InferRunner("infer@test:1")
    yield runner
    runner.berths.close()


@pytest.fixture
def base(transactional_db):
    return make_base("one")


@pytest.fixture
def ask(team, alice, base):
    def ask(model=base, **fields):
        fields = {"adapter": None, "params": {}, "messages": [{"role": "user", "content": "Hi"}], **fields}
        made = Generation.ask(team=team, author=alice, purpose="chat", model=model, **fields)
        return Generation.objects.get(pk=made.pk)

    return ask
