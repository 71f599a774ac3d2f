"""/v1/files: what goes in comes out byte for byte, to its own team only."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from jobs.models import FineTune, Import, LanguageModel, MetricPoint, State, StoredFile

AWKWARD = b'\xef\xbb\xbf{"messages": []}\r\n\x00\xff no utf-8 here\r'


def content(answer: Any) -> bytes:
    return b"".join(answer)


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse")  # the test's client is synchronous
def test_bytes_come_back_exactly(call: Any, upload: Any) -> None:
    big = AWKWARD + bytes(range(256)) * 1000
    file = upload(big, who="bob", name="Übung 1.jsonl")
    shown = call("dana", "get", f"/v1/files/{file.key}").json()
    assert shown == {
        "id": file.key,
        "object": "file",
        "bytes": len(big),
        "created_at": int(file.created_at.timestamp()),
        "filename": "Übung 1.jsonl",
        "purpose": "fine-tune",
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }
    assert content(call("dana", "get", f"/v1/files/{file.key}/content")) == big
    assert file.sha256 == hashlib.sha256(big).hexdigest()


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\boot.ini", "a" * 400 + ".jsonl"])
def test_a_name_is_only_a_label(upload: Any, settings: Any, name: str) -> None:
    file = upload("{}", name=name)
    assert "/" not in file.filename
    assert len(file.filename) <= 200
    assert file.path.is_relative_to(settings.STUDIO_HOME)


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"purpose": "fine-tune"}, "file"),
        ({"file": b"{}"}, "purpose"),
        ({"file": b"{}", "purpose": "world domination"}, "purpose"),
        ({"file": b"", "purpose": "fine-tune"}, "file"),
        ({"file": "not a file", "purpose": "fine-tune"}, "file"),
    ],
)
def test_a_bad_upload_names_what_is_wrong(call: Any, form: dict[str, Any], param: str) -> None:
    if isinstance(form.get("file"), bytes):
        form = {**form, "file": SimpleUploadedFile("x.jsonl", form["file"])}
    answer = call("alice", "post", "/v1/files", form, multipart=True)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert not StoredFile.objects.exists()


def test_a_file_over_the_limit_is_refused(call: Any, settings: Any) -> None:
    settings.STUDIO_MAX_UPLOAD = 10
    form = {"file": SimpleUploadedFile("x.jsonl", b"x" * 11), "purpose": "fine-tune"}
    answer = call("alice", "post", "/v1/files", form, multipart=True)
    assert answer.status_code == 413
    assert not StoredFile.objects.exists()


def test_lists_are_paged_filtered_and_ordered(call: Any, upload: Any) -> None:
    files = [upload("{}", name=f"{number}.jsonl") for number in range(3)]
    upload("{}", who="charlie")
    StoredFile.objects.filter(pk=files[1].pk).update(purpose="evals")

    def listed(query: str) -> tuple[list[str], bool]:
        answer = call("dana", "get", f"/v1/files?{query}").json()
        return [file["filename"][0] for file in answer["data"]], answer["has_more"]

    assert listed("") == (["2", "1", "0"], False)
    assert listed("order=asc&limit=2") == (["0", "1"], True)
    assert listed(f"order=asc&limit=2&after={files[1].key}") == (["2"], False)
    assert listed("purpose=evals") == (["1"], False)


def test_another_teams_file_does_not_exist(call: Any, upload: Any) -> None:
    file = upload("{}")
    for method, path in (("get", ""), ("get", "/content"), ("delete", "")):
        assert call("charlie", method, f"/v1/files/{file.key}{path}").status_code == 404
    assert file.path.exists()


def test_delete_removes_the_bytes_once_nothing_reads_them(
    call: Any, upload: Any, team: Any, base: LanguageModel, django_capture_on_commit_callbacks: Any
) -> None:
    file = upload("{}")
    reading = Import.objects.create(team=team, file=file, name="x", format="chat")
    run = FineTune.objects.create(
        team=team, name="x", base=base, training_file=file, config={}, request={"training_file": file.key}
    )
    answer = call("bob", "delete", f"/v1/files/{file.key}")
    assert answer.status_code == 409
    assert file.path.exists()
    Import.objects.filter(pk=reading.pk).update(state=State.CANCELLED)
    with django_capture_on_commit_callbacks(execute=True):
        answer = call("bob", "delete", f"/v1/files/{file.key}")
    assert answer.json() == {"id": file.key, "object": "file", "deleted": True}
    assert not file.path.exists()
    assert FineTune.objects.filter(pk=run.pk, training_file=None).exists()
    assert call("bob", "get", f"/v1/files/{file.key}").status_code == 404


def test_a_runs_results_are_a_csv_file_of_its_steps(call: Any, team: Any, base: LanguageModel) -> None:
    run = FineTune.objects.create(team=team, name="x", base=base, config={})
    for step in (1, 2):
        MetricPoint.objects.create(
            finetune=run, kind="train", step=step, loss=2 / step, learning_rate=0.001, grad_norm=1.5, tokens=step * 10
        )
    MetricPoint.objects.create(finetune=run, kind="eval", step=2, loss=0.75)
    key = f"file-results-{run.pk.hex}"
    raw = content(call("dana", "get", f"/v1/files/{key}/content"))
    assert raw.decode().splitlines() == [
        "step,train_loss,valid_loss,learning_rate,grad_norm,tokens,tokens_per_second",
        "1,2.0,,0.001,1.5,10,",
        "2,1.0,0.75,0.001,1.5,20,",
    ]
    shown = call("dana", "get", f"/v1/files/{key}").json()
    assert (shown["id"], shown["bytes"], shown["purpose"]) == (key, len(raw), "fine-tune-results")
    assert call("charlie", "get", f"/v1/files/{key}").status_code == 404
