"""The form of a fine-tune, with its check and microscope."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from jobs.ml.config import TrainConfig
from jobs.models import Dataset, FineTune, LanguageModel, Row, Worker
from jobs.numbers import parse_number, show_number
from jobs.plans import Prospect
from tests.jobs.finetunes.runs import a_run, at
from workspace.models import Team, User


@pytest.fixture
def filled(base: LanguageModel, demo: Dataset, as_bob: Client, team: Team) -> dict[str, object]:
    """What the form of the demo posts when nothing is changed."""
    form = as_bob.get(reverse("finetune_new", kwargs={"team": team.slug}), {"dataset": demo.pk}).context["form"]
    return {
        field.html_name: field.value()
        for field in form
        if not isinstance(field.value(), bool) and field.value() is not None
    } | {"base": base.pk, "dataset": demo.pk}


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
