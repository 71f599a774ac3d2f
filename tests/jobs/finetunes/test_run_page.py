"""The page of a run in each of its states, and the list of runs."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from jobs.ml.config import TrainConfig
from jobs.models import Adapter, Dataset, FineTune, LanguageModel, MetricPoint, SampleAnswer, State, Worker
from tests.jobs.finetunes.runs import a_run, at
from workspace.models import Team


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
