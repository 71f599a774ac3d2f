"""The form of a fine-tune with its check and microscope, and the page of a run in each of its states."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from jobs.datasets import create_demo
from jobs.ml.base_model import describe
from jobs.ml.config import TrainConfig
from jobs.models import Adapter, Dataset, FineTune, LanguageModel, MetricPoint, Row, SampleAnswer, State, Worker
from jobs.numbers import parse_number, show_number
from jobs.plans import Prospect
from tests.stack import prepared_models
from workspace.models import Team, User


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


@pytest.fixture
def filled(base: LanguageModel, demo: Dataset, as_bob: Client, team: Team) -> dict[str, object]:
    """What the form of the demo posts when nothing is changed."""
    form = as_bob.get(reverse("finetune_new", kwargs={"team": team.slug}), {"dataset": demo.pk}).context["form"]
    return {
        field.html_name: field.value()
        for field in form
        if not isinstance(field.value(), bool) and field.value() is not None
    } | {"base": base.pk, "dataset": demo.pk}


def at(name: str, team: Team, **extra: object) -> str:
    return reverse(name, kwargs={"team": team.slug, **extra})


def a_run(
    team: Team, base: LanguageModel, dataset: Dataset | None, author: User | None = None, **fields: object
) -> FineTune:
    return FineTune.objects.create(
        team=team,
        base=base,
        dataset=dataset,
        author=author,
        name=fields.pop("name", "French"),
        config=TrainConfig().to_dict(),
        **fields,
    )


class TestNumbers:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("2e-4", 2e-4),
            ("1,000", 1000),
            ("0,001", 0.001),
            ("1.000.5", None),
            ("5 %", 0.05),
            ("12 345", 12345),
            ("−1", -1),
            (".5", 0.5),
            ("nan", None),
            ("inf", None),
            ("", None),
            ("1e999", None),
        ],
    )
    def test_are_taken_as_people_paste_them(self, text: str, number: float | None) -> None:
        if number is None:
            with pytest.raises(ValueError):
                parse_number(text)
        else:
            assert parse_number(text) == pytest.approx(number)

    def test_are_shown_in_a_form_that_is_taken(self) -> None:
        for value in (0.0002, 1e-3, 0.05, 512, 4294967295, 1.5e-7):
            assert parse_number(show_number(value)) == value
        assert show_number(2e-4) == "2e-4"


class TestForm:
    def test_offers_what_fits_base_and_data(self, filled: dict, demo: Dataset, base: LanguageModel) -> None:
        assert (filled["epochs"], filled["learning_rate"], filled["r"]) == ("3", "1e-3", "16")
        lengths = Prospect(base, demo).train.tokens
        assert len(lengths) == demo.counts["train"]
        assert (
            int(filled["max_length"]) % 64 == 0
            and int(filled["max_length"]) >= sorted(lengths)[int(0.99 * len(lengths))]
        )
        assert filled["name"] == demo.name

    def test_starts_a_run_with_its_plan_once(
        self, as_bob: Client, bob: User, team: Team, filled: dict, trainer: Worker
    ) -> None:
        answer = as_bob.post(
            at("finetune_new", team), {**filled, "learning_rate": "2e-4", "epochs": "1,5", "name": "Twice"}
        )
        assert answer.status_code == 302, answer.context["form"].errors
        as_bob.post(at("finetune_new", team), {**filled, "learning_rate": "2e-4", "epochs": "1,5", "name": "Twice"})
        run = FineTune.objects.get()
        assert answer.url == run.get_absolute_url()
        assert (run.state, run.author, run.train_config.learning_rate, run.train_config.epochs) == (
            "queued",
            bob,
            2e-4,
            1.5,
        )
        assert run.plan["steps"] > 30 and run.template_hash == run.base.template_hash
        assert FineTune.objects.all().claim("train@test") == [run]

    def test_says_what_is_wrong_at_the_field_and_in_a_summary(self, as_bob: Client, team: Team, filled: dict) -> None:
        answer = as_bob.post(at("finetune_new", team), {**filled, "r": "0", "epochs": "many", "max_length": "100000"})
        text = answer.content.decode()
        assert answer.status_code == 422
        for said in ("Between 1 and 256.", "“many” is not a number.", "reads at most", "was not started"):
            assert said in text
        assert not FineTune.objects.exists()

    def test_a_high_learning_rate_must_be_confirmed(self, as_bob: Client, team: Team, filled: dict) -> None:
        high = {**filled, "learning_rate": "0,005"}
        assert "confirm_rate" in as_bob.post(at("finetune_check", team), high).content.decode()
        answer = as_bob.post(at("finetune_new", team), high)
        assert (
            answer.status_code == 422
            and "runs away" in answer.content.decode()
            and "confirm_rate" in answer.content.decode()
        )
        assert as_bob.post(at("finetune_new", team), {**high, "confirm_rate": "on"}).status_code == 302

    def test_starts_again_from_a_run_with_changes(
        self, as_bob: Client, team: Team, base: LanguageModel, demo: Dataset
    ) -> None:
        run = a_run(team, base, demo)
        FineTune.objects.filter(pk=run.pk).update(
            config=TrainConfig(learning_rate=3e-4, batch_size=8, scheduler="linear").to_dict()
        )
        form = as_bob.get(at("finetune_new", team), {"from": run.pk, "batch_size": 4}).context["form"]
        assert (form["learning_rate"].value(), form["batch_size"].value(), form["scheduler"].value()) == (
            "3e-4",
            "4",
            "linear",
        )
        assert form["name"].value() == "French again"

    def test_offers_nothing_of_another_team(
        self, as_charlie: Client, other_team: Team, base: LanguageModel, demo: Dataset, team: Team
    ) -> None:
        form = as_charlie.get(
            at("finetune_new", other_team), {"dataset": demo.pk, "from": a_run(team, base, demo).pk}
        ).context["form"]
        assert list(form.fields["dataset"].queryset) == [] and form["name"].value() is None

    def test_is_for_editors(self, as_dana: Client, team: Team) -> None:
        assert as_dana.get(at("finetune_new", team)).status_code == 403


class TestCheck:
    def check(self, client: Client, team: Team, values: dict) -> str:
        answer = client.post(at("finetune_check", team), values)
        assert answer.status_code == 200
        return answer.content.decode()

    def test_says_steps_time_memory_and_what_the_button_does(
        self, as_bob: Client, team: Team, filled: dict, demo: Dataset, trainer: Worker
    ) -> None:
        text = self.check(as_bob, team, filled)
        rows = demo.counts["train"]
        steps = 3 * -(-rows // 16)
        assert f"Train on {rows} rows, about" in text
        assert f"<dd>{steps}" in text and "of 8.6 GB" in text and "a guess" in text

    def test_measured_runs_on_this_host_replace_the_guess(
        self, as_bob: Client, team: Team, filled: dict, base: LanguageModel, demo: Dataset, trainer: Worker
    ) -> None:
        a_run(
            team, base, demo, state="succeeded", tokens_per_second=500, worker="train@box:7", finished_at=timezone.now()
        )
        a_run(
            team,
            base,
            demo,
            state="succeeded",
            tokens_per_second=9000,
            worker="train@elsewhere:7",
            finished_at=timezone.now(),
        )
        text = self.check(as_bob, team, filled)
        assert "at 500 tokens/s" in text and "earlier runs" in text

    def test_warns_of_few_steps_cut_rows_and_a_missing_worker(self, as_bob: Client, team: Team, filled: dict) -> None:
        text = self.check(as_bob, team, {**filled, "epochs": "0.1", "max_length": "40"})
        assert "Only " in text and "lose their end" in text and "No training worker is running" in text

    def test_refuses_when_nothing_is_left_to_learn(self, as_bob: Client, team: Team, filled: dict) -> None:
        long = "word " * 400
        dataset = Dataset.objects.create(team=team, name="Long", sha256="long", counts={"train": 1})
        Row.objects.create(
            dataset=dataset,
            position=0,
            split="train",
            messages=[{"role": "user", "content": long}, {"role": "assistant", "content": "x"}],
        )
        values = {**filled, "dataset": dataset.pk, "max_length": "64"}
        text = self.check(as_bob, team, values)
        assert "In no row is anything left to learn" in text and "disabled" in text
        assert as_bob.post(at("finetune_new", team), values).status_code == 422
        dropped = self.check(as_bob, team, {**values, "overlong": "drop"})
        assert "none is left to train on" in dropped and "disabled" in dropped

    def test_a_missing_model_folder_is_a_sentence(
        self, as_bob: Client, team: Team, filled: dict, base: LanguageModel
    ) -> None:
        LanguageModel.objects.filter(pk=base.pk).update(folder="gone")
        assert "are not on this machine" in self.check(as_bob, team, filled)

    def test_a_large_data_set_is_measured_by_a_part_of_it(
        self,
        as_bob: Client,
        team: Team,
        filled: dict,
        monkeypatch: pytest.MonkeyPatch,
        base: LanguageModel,
        demo: Dataset,
    ) -> None:
        monkeypatch.setattr("jobs.plans.SAMPLE", 100)
        Dataset.objects.filter(pk=demo.pk).update(sha256="large")
        text = self.check(as_bob, team, filled)
        assert f"Train on {demo.counts['train']} rows" in text and "evenly chosen" in text


class TestMicroscope:
    def look(self, client: Client, team: Team, values: dict) -> dict:
        return client.post(at("finetune_tokens", team), values).context

    def test_shows_the_answer_as_what_is_learnt(self, as_bob: Client, team: Team, filled: dict, demo: Dataset) -> None:
        seen = self.look(as_bob, team, {**filled, "row": "3"})["seen"]
        row = demo.rows.filter(split="train")[2]
        learnt = "".join(token.text for token in seen.tokens if token.loss)
        assert learnt == f"{row.answer}<|im_end|>"
        assert "".join(token.text for token in seen.tokens).count(row.prompt) == 1
        assert seen.trained == sum(token.loss for token in seen.tokens) and not seen.cut

    def test_marks_what_is_cut_off_and_special_tokens(self, as_bob: Client, team: Team, filled: dict) -> None:
        seen = self.look(as_bob, team, {**filled, "max_length": "32"})["seen"]
        assert seen.cut == seen.total - 32
        assert [token.cut for token in seen.tokens] == [i >= 32 for i in range(seen.total)]
        assert not any(token.loss for token in seen.tokens if token.cut)
        assert {token.text for token in seen.tokens if token.special} == {"<|im_start|>", "<|im_end|>"}

    def test_follows_the_choice_of_what_carries_loss(self, as_bob: Client, team: Team, filled: dict) -> None:
        seen = self.look(as_bob, team, {**filled, "loss_on": "all"})["seen"]
        assert seen.trained == seen.total - 1 == sum(token.loss for token in seen.tokens)

    def test_any_row_number_is_taken_to_the_nearest(
        self, as_bob: Client, team: Team, filled: dict, demo: Dataset
    ) -> None:
        for asked, shown in {"0": 1, "abc": 1, "999999": demo.counts["train"]}.items():
            assert self.look(as_bob, team, {**filled, "row": asked})["seen"].rank == shown


class TestRunPage:
    def page(self, client: Client, run: FineTune) -> str:
        answer = client.get(run.get_absolute_url())
        assert answer.status_code == 200
        return " ".join(answer.content.decode().split())

    def test_queued_says_its_place_and_when(
        self, as_dana: Client, team: Team, base: LanguageModel, demo: Dataset, trainer: Worker
    ) -> None:
        a_run(team, base, demo, state="running", eta_seconds=300)
        a_run(team, base, demo, plan={"seconds": 180}, queued_at=timezone.now() - timedelta(minutes=2))
        run = a_run(team, base, demo)
        assert "3rd in the queue, starts in about 8 min" in self.page(as_dana, run)

    def test_queued_without_a_worker_says_so(
        self, as_dana: Client, team: Team, base: LanguageModel, demo: Dataset
    ) -> None:
        assert "No training worker is running" in self.page(as_dana, a_run(team, base, demo))

    def test_training_is_one_line_that_anyone_can_read(
        self, as_bob: Client, as_dana: Client, team: Team, base: LanguageModel, demo: Dataset, trainer: Worker
    ) -> None:
        run = a_run(
            team,
            base,
            demo,
            state="running",
            step=180,
            total_steps=1240,
            eta_seconds=22 * 60,
            started_at=timezone.now(),
        )
        assert "Training, step 180 of 1,240, 22 min left" in self.page(as_dana, run)
        assert "Stop and keep the best" in self.page(as_bob, run) and "Stop and keep the best" not in self.page(
            as_dana, run
        )

    def test_points_come_after_the_last_that_the_page_has(
        self, as_dana: Client, team: Team, base: LanguageModel, demo: Dataset
    ) -> None:
        run = a_run(team, base, demo, state="running", total_steps=10)
        MetricPoint.objects.bulk_create(
            [
                MetricPoint(finetune=run, kind="train", step=s, loss=1 / s, learning_rate=1e-3, memory_bytes=5)
                for s in range(1, 6)
            ]
        )
        MetricPoint.objects.create(finetune=run, kind="eval", step=5, loss=0.5)
        whole = as_dana.get(at("finetune_points", team, finetune_id=run.pk)).json()
        assert (
            [point[0] for point in whole["train"]] == [1, 2, 3, 4, 5]
            and whole["eval"] == [[5, 0.5]]
            and whole["total"] == 10
        )
        later = as_dana.get(at("finetune_points", team, finetune_id=run.pk), {"train": 3, "eval": 5}).json()
        assert [point[0] for point in later["train"]] == [4, 5] and later["eval"] == []

    def test_very_long_curves_are_thinned(
        self, as_dana: Client, team: Team, base: LanguageModel, demo: Dataset
    ) -> None:
        run = a_run(team, base, demo)
        MetricPoint.objects.bulk_create([MetricPoint(finetune=run, kind="train", step=s, loss=1) for s in range(4000)])
        assert 1000 <= len(run.curve("train")) <= 1500

    def test_sample_answers_grow_by_column(
        self, as_dana: Client, team: Team, base: LanguageModel, demo: Dataset
    ) -> None:
        run = a_run(team, base, demo)
        for step in (0, 10):
            SampleAnswer.objects.create(finetune=run, step=step, index=1, text=f"answer at {step}")
        samples = as_dana.get(at("finetune_samples", team, finetune_id=run.pk)).context["samples"]
        assert samples["steps"] == [0, 10] and len(samples["lines"]) == 5
        assert samples["lines"][1]["answers"] == ["answer at 0", "answer at 10"]
        assert samples["lines"][1]["wanted"] == demo.rows.filter(split="validation")[1].answer

    def test_the_page_is_made_anew_when_the_state_has_changed(
        self, as_dana: Client, team: Team, base: LanguageModel, demo: Dataset
    ) -> None:
        run = a_run(team, base, demo, state="running")
        fragment = at("finetune_progress", team, finetune_id=run.pk)
        assert "HX-Refresh" not in as_dana.get(fragment, {"was": "running"})
        assert as_dana.get(fragment, {"was": "queued"})["HX-Refresh"] == "true"

    def test_done_shows_the_result_and_the_ways_on(
        self, as_bob: Client, team: Team, base: LanguageModel, demo: Dataset
    ) -> None:
        adapter = Adapter.objects.create(
            team=team, base=base, name="French", suffix="french", folder="x", sha256="", template_hash="", rank=16
        )
        metrics = {
            "train_loss": 0.9,
            "eval_loss": 1.234,
            "best_step": 90,
            "trained_tokens": 60_000,
            "seconds": 380,
            "peak_memory_bytes": 2e9,
            "stopped_early": False,
        }
        run = a_run(
            team,
            base,
            demo,
            state="succeeded",
            adapter=adapter,
            metrics=metrics,
            provenance={"seed": 42, "versions": {"torch": "2.13"}},
            started_at=timezone.now(),
            finished_at=timezone.now(),
        )
        MetricPoint.objects.create(finetune=run, kind="eval", step=9, loss=3.21)
        text = self.page(as_bob, run)
        for said in ("3.210 → 1.234", "6 min 20 s", "Chat with it", adapter.key, "torch 2.13", f'value="{adapter.pk}"'):
            assert said in text, said

    @pytest.mark.parametrize(
        ("cause", "button"),
        [
            ("oom", "Try again with half the batch"),
            ("bad_data", "Look at the data"),
            ("model_missing", "Look at the models"),
            ("disk", "Start again with changes"),
            ("error", "Start again with changes"),
        ],
    )
    def test_failed_says_the_cause_and_what_to_do_but_never_a_trace(
        self, as_bob: Client, team: Team, base: LanguageModel, demo: Dataset, cause: str, button: str
    ) -> None:
        run = a_run(team, base, demo, state="failed", cause=cause, message="It did not work. Do this.")
        run.events.create(
            level="error", message="It did not work.", data={"detail": "Traceback (most recent call last)"}
        )
        text = self.page(as_bob, run)
        assert "It did not work. Do this." in text and button in text and "Traceback" not in text

    def test_half_the_batch_keeps_the_effective_batch(
        self, as_bob: Client, team: Team, base: LanguageModel, demo: Dataset
    ) -> None:
        run = a_run(team, base, demo, state="failed", cause="oom", message="x")
        (_, where), *_ = as_bob.get(run.get_absolute_url()).context["ways_on"]
        form = as_bob.get(where).context["form"]
        assert (form["batch_size"].value(), form["gradient_accumulation_steps"].value()) == ("2", "8")

    def test_cancel_and_stop_are_asked_for_once(
        self, as_bob: Client, team: Team, base: LanguageModel, demo: Dataset
    ) -> None:
        running = a_run(team, base, demo, state="running", step=5, total_steps=10)
        as_bob.post(at("finetune_stop", team, finetune_id=running.pk))
        as_bob.post(at("finetune_stop", team, finetune_id=running.pk))
        running.refresh_from_db()
        assert running.stop_requested_at and running.events.count() == 1
        as_bob.post(at("finetune_cancel", team, finetune_id=running.pk))
        running.refresh_from_db()
        assert running.cancel_requested_at and running.state == State.RUNNING
        queued = a_run(team, base, demo)
        as_bob.post(at("finetune_cancel", team, finetune_id=queued.pk))
        queued.refresh_from_db()
        assert queued.state == State.CANCELLED

    def test_options_that_differ_from_the_run_before_are_marked(
        self, as_dana: Client, team: Team, base: LanguageModel, demo: Dataset
    ) -> None:
        a_run(team, base, demo, queued_at=timezone.now() - timedelta(hours=1))
        run = a_run(team, base, demo)
        FineTune.objects.filter(pk=run.pk).update(config=TrainConfig(learning_rate=5e-4).to_dict())
        changed = [
            option["name"] for option in as_dana.get(run.get_absolute_url()).context["options"] if option["changed"]
        ]
        assert changed == ["learning rate"]

    def test_a_run_over_the_api_waits_for_its_files(self, as_dana: Client, team: Team, base: LanguageModel) -> None:
        assert "Waiting for its files to be read" in self.page(as_dana, a_run(team, base, None))

    def test_the_list_shows_all_runs_and_an_empty_team_the_next_step(
        self, as_bob: Client, team: Team, base: LanguageModel, demo: Dataset
    ) -> None:
        assert "No fine-tunes yet" in as_bob.get(at("finetunes", team)).content.decode()
        run = a_run(
            team,
            base,
            demo,
            state="succeeded",
            metrics={"eval_loss": 1.5},
            started_at=timezone.now() - timedelta(seconds=90),
            finished_at=timezone.now(),
        )
        text = as_bob.get(at("finetunes", team)).content.decode()
        assert run.get_absolute_url() in text and "1.500" in text and "1 min 30 s" in text

    def test_is_for_the_team(
        self, as_dana: Client, as_charlie: Client, team: Team, other_team: Team, base: LanguageModel, demo: Dataset
    ) -> None:
        run = a_run(team, base, demo)
        for name in ("finetune", "finetune_progress", "finetune_points", "finetune_samples", "finetune_log"):
            assert as_dana.get(at(name, team, finetune_id=run.pk)).status_code == 200
            assert as_charlie.get(at(name, other_team, finetune_id=run.pk)).status_code == 404
            assert as_charlie.get(at(name, other_team, finetune_id=uuid.uuid4())).status_code == 404
        assert as_dana.post(at("finetune_cancel", team, finetune_id=run.pk)).status_code == 403
