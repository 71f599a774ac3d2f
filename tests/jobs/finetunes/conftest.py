"""What a team has before its first fine-tune: the real base, the demo data set, a worker that trains."""

from __future__ import annotations

import pytest

from jobs.datasets import create_demo
from jobs.ml.base_model import describe
from jobs.models import Dataset, LanguageModel, Worker
from tests.stack import prepared_models
from workspace.models import Team


@pytest.fixture
def base(db: None, settings: object) -> LanguageModel:
    """The real base model, as the studio registers it."""
    settings.STUDIO_MODELS = prepared_models()
    facts = describe(settings.STUDIO_MODELS / "smollm2-135m-instruct")
    return LanguageModel.objects.create(
        key="smollm2-135m-instruct",
        name=facts["name"],
        folder="smollm2-135m-instruct",
        parameters=facts["parameters"],
        context_length=facts["context_length"],
        template_hash=facts["template_hash"],
    )


@pytest.fixture
def demo(team: Team) -> Dataset:
    return create_demo(team)


@pytest.fixture
def trainer(db: None) -> Worker:
    return Worker.objects.create(
        name="train@box:1",
        kind="train",
        host="box",
        pid=1,
        facts={"memory_bytes": 8 * 2**30, "threads": 2, "device": "cpu"},
    )
