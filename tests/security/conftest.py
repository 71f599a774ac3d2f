"""One object of every kind, all of them charlie's."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from jobs.ml.config import TrainConfig
from jobs.models import Adapter, Dataset, FineTune, Import, LanguageModel, StoredFile
from workspace.models import (
    ApiKey,
    Attachment,
    Chat,
    Comment,
    ExampleSet,
    Grid,
    Invitation,
    Notification,
    Prompt,
    PromptLabel,
    PromptReview,
    Role,
    Team,
    User,
)


@pytest.fixture
def theirs(charlie: User, other_team: Team) -> dict[str, Any]:
    mine: dict[str, Any] = {"team": other_team, "author": charlie}
    base = LanguageModel.objects.create(key="tiny", name="Tiny", folder="tiny", parameters=1, template_hash="t" * 64)
    model = LanguageModel.objects.create(
        team=other_team, key="theirs", name="Theirs", kind="remote", url="http://llm.test/v1"
    )
    file = StoredFile.keep(
        SimpleUploadedFile("rows.jsonl", b'{"prompt": "a", "completion": "b"}\n'), purpose="fine-tune", **mine
    )
    dataset = Dataset.objects.create(name="Rows", sha256="0" * 64, counts={"train": 1}, **mine)
    dataset.rows.create(
        position=0, split="train", messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    )
    reading = Import.objects.create(name="Rows", file=file, format="completion", **mine)
    run = FineTune.objects.create(name="Run", base=base, dataset=dataset, config=TrainConfig().to_dict(), **mine)
    adapter = Adapter.objects.create(
        team=other_team, base=base, name="A", suffix="a", folder="x", sha256="0" * 64, template_hash="t" * 64, rank=8
    )
    adapter.path.mkdir(parents=True, exist_ok=True)
    (adapter.path / "adapter_config.json").write_text("{}")
    chat = Chat.objects.create(model=base, title="Secret", **mine)
    invitation, _ = Invitation.issue(team=other_team, role=Role.EDITOR, email="eve@example.com", invited_by=charlie)
    prompt = Prompt.start(name="Theirs", messages=[{"role": "user", "content": "Secret"}], **mine)
    examples = ExampleSet.start(name="Theirs", **mine)
    row = dataset.rows.get()
    example = examples.add(charlie, input="Secret", output="Secret", source_kind="row", source_id=str(row.pk))
    about = {"leave_one_out": str(examples.newest.pk), "metric": "exact"}
    grid = Grid.objects.create(name="Theirs", about=about, **mine)
    grid.add_column(model=base, prompt_version=prompt.versions.get())
    comment = Comment.objects.create(kind="row", object_id=str(dataset.rows.get().pk), text="Secret", **mine)
    notice = Notification.objects.create(
        team=other_team, user=charlie, actor=charlie, reason="mention", text="Secret", url="/"
    )
    review = PromptReview.ask(prompt.newest, by=other_team.memberships.get())
    generation = chat.send(charlie, "Secret", parent=None, client_id="x" * 32).generation
    attachment = Attachment.of_file(file, chat=chat, author=charlie, text="Secret", note="")
    grid.add_inputs([{}])
    grid.start_run(charlie)
    key, _ = ApiKey.issue(team=other_team, user=charlie, name="theirs")
    return {
        "adapter": adapter,
        "attachment": attachment,
        "cell": grid.cells().get(),
        "chat": chat,
        "comment": comment,
        "column": grid.columns.get(),
        "dataset": dataset,
        "example": example,
        "set": examples,
        "file": file,
        "finetune": run,
        "generation": generation,
        "grid": grid,
        "import": reading,
        "input": grid.inputs.get(),
        "invitation": invitation,
        "key": key,
        "member": other_team.memberships.get(),
        "model": model,
        "notice": notice,
        "prompt": prompt,
        "review": review,
    }


@pytest.fixture
def foreign(theirs: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a page's address -> the ids of charlie's objects."""
    talked_about = {"kind": "row", "object_id": theirs["comment"].object_id}
    return {f"{kind}_id": thing.pk for kind, thing in theirs.items()} | {"position": 0, "number": 1} | talked_about


@pytest.fixture
def foreign_to_programs(theirs: dict[str, Any], charlie: User, other_team: Team) -> dict[str, Any]:
    """The same for programs, whose doors have their own forms of ids. Prompts go by name: one is there for each door
    that takes a name that ends like an address."""
    name, label = theirs["prompt"].name, "production"
    by = other_team.memberships.get(user=charlie)
    for ending in ("", "/run", "/versions", "/versions/1", f"/labels/{label}"):
        prompt = theirs["prompt"] if not ending else Prompt.start(
            team=other_team, author=charlie, name=name + ending, messages=[{"role": "user", "content": "Secret"}]
        )  # fmt: skip
        PromptLabel.move(prompt.find(version=1), label, by=by)
    return {
        "file_id": theirs["file"].key,
        "job_id": theirs["finetune"].key,
        "model_id": theirs["adapter"].key,
        "name": name,
        "version": 1,
        "label": label,
        "set_id": theirs["set"].pk,
    }


@pytest.fixture(autouse=True)
def one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asynchronous doors close their connection where the work with the database ends; here it holds the test's data."""
    monkeypatch.setattr("channels.db.close_old_connections", lambda: None)
