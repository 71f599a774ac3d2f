"""/v1/fine_tuning/jobs: a run from a file, its life in OpenAI's words, and nothing of another team's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone

from jobs.ml.config import TrainConfig
from jobs.models import Checkpoint, Dataset, FineTune, Import, LanguageModel, MetricPoint, RunEvent, State

ROWS = "\n".join(
    json.dumps({"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}!"}]})
    for n in range(12)
)
JOBS = "/v1/fine_tuning/jobs"


def walk(job: Any, *states: State, **fields: Any) -> None:
    for state in states:
        type(job).objects.filter(pk=job.pk).update(state=state, **fields)
    job.refresh_from_db()


def sealed(imported: Import) -> Dataset:
    """As the default worker leaves an import that went well."""
    dataset = Dataset.objects.create(team=imported.team, name=imported.name, sha256="0" * 64, counts={"train": 12})
    walk(imported, State.RUNNING, State.SUCCEEDED, dataset=dataset)
    return dataset


@pytest.fixture
def start(call: Any, upload: Any, base: LanguageModel) -> Any:
    def create(who: str = "bob", **fields: Any) -> Any:
        body = {"model": "tiny", "training_file": upload(ROWS, who).key} | fields
        return call(who, "post", JOBS, body)

    return create


def test_a_job_waits_for_its_file_and_then_for_its_turn(start: Any, call: Any, upload: Any, bob: Any) -> None:
    file = upload(ROWS)
    job = start(training_file=file.key, suffix="My Tone", seed=7, metadata={"ticket": "42"}).json()
    assert job["object"] == "fine_tuning.job"
    assert job["status"] == "validating_files"
    assert (job["model"], job["training_file"], job["validation_file"]) == ("tiny", file.key, None)
    assert (job["seed"], job["metadata"], job["error"]) == (7, {"ticket": "42"}, None)
    assert (job["fine_tuned_model"], job["trained_tokens"], job["finished_at"], job["result_files"]) == (
        None,
        None,
        None,
        [],
    )
    run = FineTune.objects.get()
    assert (run.key, run.author, run.suffix, run.state) == (job["id"], bob, "my-tone", State.QUEUED)
    assert not FineTune.objects.all().claim("nobody")

    imported = Import.objects.get()
    assert (imported.file, imported.format) == (file, "chat")
    dataset = sealed(imported)
    FineTune.data_ready(imported)
    assert call("dana", "get", f"{JOBS}/{job['id']}").json()["status"] == "queued"
    assert FineTune.objects.all().claim("a worker")[0].dataset == dataset


def test_a_file_that_was_read_before_is_not_read_again(start: Any, upload: Any) -> None:
    file = upload(ROWS)
    start(training_file=file.key)
    dataset = sealed(Import.objects.get())
    FineTune.data_ready()
    assert start(training_file=file.key).json()["status"] == "queued"
    assert Import.objects.count() == 1
    assert set(FineTune.objects.values_list("dataset", flat=True)) == {dataset.pk}


def test_with_a_validation_file_both_must_be_read(start: Any, upload: Any) -> None:
    training, validation = upload(ROWS), upload(ROWS)
    job = start(training_file=training.key, validation_file=validation.key).json()
    assert job["validation_file"] == validation.key
    first, second = Import.objects.get(file=training), Import.objects.get(file=validation)
    assert (first.shares, second.shares) == ({"train": 1.0}, {"validation": 1.0})
    dataset = sealed(first)
    FineTune.data_ready(first)
    assert FineTune.objects.get().dataset is None
    other = sealed(second)
    FineTune.data_ready(second)
    run = FineTune.objects.get()
    assert (run.dataset, run.validation_dataset) == (dataset, other)


def test_a_bad_file_fails_the_job_with_its_lines(start: Any, call: Any) -> None:
    job = start().json()
    imported = Import.objects.get()
    problems = [{"line": line, "reason": "The last message is not the assistant's."} for line in range(3, 10)]
    walk(
        imported, State.RUNNING, State.FAILED, problems=problems, problems_total=7, cause="bad_data", message="7 lines"
    )
    FineTune.data_ready(imported)
    job = call("dana", "get", f"{JOBS}/{job['id']}").json()
    assert job["status"] == "failed"
    assert job["error"]["code"] == "bad_data"
    assert job["error"]["param"] == "training_file"
    assert "line 3: The last message is not the assistant's." in job["error"]["message"]
    assert "2 more" in job["error"]["message"]
    events = call("dana", "get", f"{JOBS}/{job['id']}/events").json()["data"]
    assert events[0]["level"] == "error"


def test_a_cancelled_import_fails_the_job_that_needs_it(start: Any) -> None:
    start()
    assert Import.objects.get().request_cancel()
    FineTune.data_ready()
    assert FineTune.objects.get().state == State.FAILED


def test_hyperparameters_become_the_configuration(start: Any) -> None:
    hyper = {"n_epochs": 2, "batch_size": 8, "learning_rate_multiplier": 0.5}
    job = start(
        hyperparameters=hyper, lora={"r": 8, "max_length": 256, "max_steps": 4, "target_modules": "all-linear"}
    ).json()
    assert job["hyperparameters"] == hyper
    assert job["method"] == {"type": "supervised", "supervised": {"hyperparameters": hyper}}
    assert (job["lora"]["r"], job["lora"]["max_steps"], job["lora"]["learning_rate"]) == (8, 4, 0.0005)
    config = FineTune.objects.get().config
    assert (config["epochs"], config["batch_size"], config["gradient_accumulation_steps"]) == (2, 4, 2)
    assert (config["lora"]["r"], config["lora"]["target_modules"], config["max_length"]) == (8, "all", 256)


def test_the_method_and_auto_are_understood(start: Any) -> None:
    method = {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": "auto", "batch_size": 7, "learning_rate_multiplier": "auto"}},
    }
    job = start(method=method).json()
    assert job["hyperparameters"] == {"n_epochs": 3, "batch_size": 7, "learning_rate_multiplier": 1.0}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"batch_size": "lots"}}, "hyperparameters.batch_size"),
        ({"hyperparameters": {"learning_rate_multiplier": 1001}}, "hyperparameters.learning_rate_multiplier"),
        ({"hyperparameters": {"n_epochs": 1}, "lora": {"epochs": 2}}, "lora.epochs"),
        ({"lora": {"r": 100_000}}, "lora.r"),
        ({"lora": {"rank": 8}}, "lora.rank"),
        ({"lora": {"max_length": 1_000_000}}, "lora.max_length"),
        ({"lora": {"learning_rate": 50}}, "lora.learning_rate"),
        ({"seed": -1}, "seed"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"suffix": "nul \x00"}, "suffix"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"method": {"type": "dpo"}}, "method.type"),
        ({"integrations": [{"type": "wandb"}]}, "integrations"),
        ({"training_file": None}, "training_file"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(start: Any, fields: dict[str, Any], param: str) -> None:
    answer = start(**fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert not FineTune.objects.exists()
    assert not Import.objects.exists()


def test_foreign_and_unknown_files_look_the_same(start: Any, upload: Any) -> None:
    foreign = upload(ROWS, who="charlie").key
    messages = []
    for key in (foreign, "file-0123456789abcdef0123456789abcdef"):
        answer = start(training_file=key)
        assert answer.status_code == 404
        assert answer.json()["error"]["param"] == "training_file"
        messages.append(answer.json()["error"]["message"].replace(key, ""))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "not json", "[1]", '{"text": "x"}', b"\xff\xfe"])
def test_a_file_of_another_kind_is_refused_at_once(start: Any, upload: Any, content: Any) -> None:
    answer = start(training_file=upload(content).key)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_file_format"


def test_only_a_local_base_can_be_trained(start: Any, base: LanguageModel, adapter: Any) -> None:
    assert start(model="nothing").status_code == 404
    assert start(model=adapter.key).status_code == 400
    LanguageModel.objects.filter(pk=base.pk).update(kind="remote")
    assert start().json()["error"]["param"] == "model"


def test_a_viewer_watches_but_does_not_start_or_stop(start: Any, call: Any, upload: Any) -> None:
    job = start().json()
    assert call("dana", "get", f"{JOBS}/{job['id']}").status_code == 200
    assert call("dana", "post", JOBS, {"model": "tiny", "training_file": upload(ROWS).key}).status_code == 403
    assert call("dana", "post", f"{JOBS}/{job['id']}/cancel").status_code == 403


def test_another_teams_job_does_not_exist(start: Any, call: Any) -> None:
    job = start().json()
    assert call("charlie", "get", JOBS).json()["data"] == []
    for method, path in (
        ("get", ""),
        ("post", "/cancel"),
        ("post", "/pause"),
        ("get", "/events"),
        ("get", "/checkpoints"),
    ):
        assert call("charlie", method, f"{JOBS}/{job['id']}{path}").status_code == 404


def test_cancel_ends_a_waiting_job_once(start: Any, call: Any) -> None:
    job = start().json()
    answer = call("bob", "post", f"{JOBS}/{job['id']}/cancel", content_type="application/json").json()
    assert answer["status"] == "cancelled"
    assert answer["finished_at"]
    assert call("bob", "post", f"{JOBS}/{job['id']}/cancel").status_code == 400


def test_pause_says_that_it_cannot(start: Any, call: Any) -> None:
    job = start().json()
    for action in ("pause", "resume"):
        assert call("bob", "post", f"{JOBS}/{job['id']}/{action}").status_code == 400


def test_jobs_are_listed_newest_first_by_page_and_by_metadata(start: Any, call: Any) -> None:
    ids = [start(metadata={"n": str(n)} if n else None).json()["id"] for n in range(3)][::-1]

    def listed(query: str) -> tuple[list[str], bool]:
        answer = call("dana", "get", f"{JOBS}?{query}").json()
        return [job["id"] for job in answer["data"]], answer["has_more"]

    assert listed("limit=2") == (ids[:2], True)
    assert listed(f"limit=2&after={ids[1]}") == (ids[2:], False)
    assert listed("metadata[n]=2") == ([ids[0]], False)
    assert listed("metadata=null") == ([ids[2]], False)


def test_events_and_checkpoints_tell_the_runs_story(start: Any, call: Any) -> None:
    job = start().json()
    run = FineTune.objects.get()
    for step in (1, 2):
        RunEvent.objects.create(
            finetune=run, kind="metrics", message=f"Step {step}", data={"step": step, "train_loss": 2.5 / step}
        )
        MetricPoint.objects.create(finetune=run, kind="train", step=step, loss=2.5 / step)
    RunEvent.objects.create(finetune=run, kind="log", message="a library's chatter")
    RunEvent.objects.create(finetune=run, level="warn", message="It stumbled.", data={"detail": "Traceback ..."})
    checkpoint = Checkpoint.objects.create(finetune=run, fence=1, step=2, folder="f", sha256="0" * 64, eval_loss=1.5)

    first = call("dana", "get", f"{JOBS}/{job['id']}/events?limit=2").json()
    assert [event["message"] for event in first["data"]] == ["It stumbled.", "Step 2"]
    assert first["has_more"]
    assert "Traceback" not in json.dumps(first)
    metrics = first["data"][1]
    assert (metrics["object"], metrics["type"], metrics["level"]) == ("fine_tuning.job.event", "metrics", "info")
    assert metrics["data"] == {"step": 2, "train_loss": 1.25}
    rest = call("dana", "get", f"{JOBS}/{job['id']}/events?after={first['last_id']}").json()["data"]
    assert [event["message"] for event in rest][0] == "Step 1"
    assert rest[-1]["message"] == f"Created fine-tuning job: {job['id']}"

    (shown,) = call("dana", "get", f"{JOBS}/{job['id']}/checkpoints").json()["data"]
    assert (shown["id"], shown["step_number"], shown["fine_tuning_job_id"]) == (f"ftckpt-{checkpoint.pk}", 2, job["id"])
    assert shown["metrics"]["train_loss"] == 1.25
    assert shown["metrics"]["full_valid_loss"] == 1.5


def test_a_running_job_says_when_it_will_end_and_a_finished_one_what_came_of_it(
    start: Any, call: Any, adapter: Any
) -> None:
    job = start().json()
    run = FineTune.objects.get()
    now = timezone.now()
    walk(run, State.RUNNING, eta_seconds=60.0, progressed_at=now, step=2, tokens=100)
    shown = call("dana", "get", f"{JOBS}/{job['id']}").json()
    assert (shown["status"], shown["estimated_finish"], shown["trained_tokens"]) == (
        "running",
        int(now.timestamp() + 60),
        None,
    )
    walk(run, State.SUCCEEDED, adapter=adapter, finished_at=now, metrics={"trained_tokens": 321})
    shown = call("dana", "get", f"{JOBS}/{job['id']}").json()
    assert (shown["status"], shown["fine_tuned_model"], shown["trained_tokens"]) == ("succeeded", adapter.key, 321)
    assert shown["estimated_finish"] is None
    assert shown["result_files"] == [f"file-results-{run.pk.hex}"]


def test_a_run_from_the_web_page_is_listed_too(call: Any, team: Any, base: LanguageModel, upload: Any) -> None:
    file = upload(ROWS)
    dataset = Dataset.objects.create(team=team, name="d", sha256="0" * 64, file=file)
    FineTune.objects.create(team=team, name="web", base=base, dataset=dataset, config=TrainConfig().to_dict())
    (job,) = call("dana", "get", JOBS).json()["data"]
    assert (job["status"], job["training_file"], job["metadata"]) == ("queued", file.key, None)
