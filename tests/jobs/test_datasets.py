"""Data sets: the demo, the grid, what the trainer gets, download, archive."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from jobs.datasets import create_demo, write_rows
from jobs.datasets.demo import PROMPT, pairs
from jobs.models import Dataset, Row
from workspace.models import Team


@pytest.fixture
def demo(team: Team) -> Dataset:
    return create_demo(team)


def where(name: str, dataset: Dataset, **extra: object) -> str:
    return reverse(name, kwargs={"team": dataset.team.slug, "dataset_id": dataset.pk, **extra})


class TestDemo:
    def test_is_real_rows_with_fixed_splits(self, demo: Dataset) -> None:
        assert demo.name == "Interface strings, English to French" and demo.licence.startswith("BSD-3-Clause")
        assert 650 <= demo.total <= 800
        assert demo.counts["train"] > 8 * demo.counts["validation"] * 0.7 and min(demo.counts.values()) > 50
        assert demo.counts == {split: demo.rows.filter(split=split).count() for split in demo.counts}
        row = demo.rows.get(messages__contains=[{"content": PROMPT.format("Log out")}])
        assert row.answer == "Déconnexion"

    def test_is_made_once(self, demo: Dataset, team: Team) -> None:
        assert create_demo(team) == demo
        assert Dataset.objects.count() == 1

    def test_is_the_same_for_every_team(self, demo: Dataset, other_team: Team) -> None:
        assert create_demo(other_team).sha256 == demo.sha256

    def test_leaves_out_what_is_no_lesson(self) -> None:
        found = pairs()
        assert all(english != french and english and french for english, french in found.items())
        assert not any("\n" in english for english in found)
        assert all(("%(" in english) == ("%(" in french) for english, french in found.items())


class TestForTheTrainer:
    def test_rows_are_written_in_order_with_their_hash(self, demo: Dataset, tmp_path: Path) -> None:
        sha256 = write_rows(demo, ["validation"], tmp_path / "validation.jsonl")
        content = (tmp_path / "validation.jsonl").read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
        written = [json.loads(line) for line in content.splitlines()]
        assert written == [{"messages": row.messages} for row in demo.rows.filter(split="validation")]
        assert write_rows(demo, ["validation"], tmp_path / "again.jsonl") == sha256

    def test_no_rows_make_an_empty_file(self, team: Team, tmp_path: Path) -> None:
        empty = Dataset.objects.create(team=team, name="Empty", sha256="")
        write_rows(empty, ["train"], tmp_path / "train.jsonl")
        assert (tmp_path / "train.jsonl").read_bytes() == b""


class TestGrid:
    def test_shows_the_first_rows_and_the_splits_with_their_counts(self, as_dana: Client, demo: Dataset) -> None:
        text = as_dana.get(demo.get_absolute_url()).content.decode()
        assert text.count("<tr data-position=") == 100
        assert f"All {demo.total}" in text and f"Validation {demo.counts['validation']}" in text

    def test_any_window_is_one_fetch_away(self, as_dana: Client, demo: Dataset) -> None:
        text = as_dana.get(where("dataset_rows", demo), {"from": "600"}).content.decode()
        assert 'data-position="600"' in text and 'data-position="599"' not in text
        assert text.count("<tr") == min(100, demo.total - 600)
        past = as_dana.get(where("dataset_rows", demo), {"from": "100000"})
        assert past.status_code == 200 and not past.content.strip()

    def test_a_split_or_a_word_filters(self, as_dana: Client, demo: Dataset) -> None:
        answer = as_dana.get(demo.get_absolute_url(), {"split": "test"})
        assert answer.context["total"] == demo.counts["test"]
        assert {row.split for row in answer.context["rows"]} == {"test"}
        found = as_dana.get(demo.get_absolute_url(), {"q": "PASSWORD"}).context
        assert found["total"] == sum("password" in json.dumps(row.messages).lower() for row in demo.rows.all())
        assert "Nothing found" in as_dana.get(demo.get_absolute_url(), {"q": "zzzz"}).content.decode()

    def test_quotes_and_backslashes_can_be_searched(self, as_dana: Client, team: Team) -> None:
        dataset = Dataset.objects.create(team=team, name="Odd", sha256="", counts={"train": 2})
        for position, text in enumerate(['say "hi"', "back\\slash 100%_"]):
            Row.objects.create(
                dataset=dataset,
                position=position,
                split="train",
                messages=[{"role": "user", "content": text}, {"role": "assistant", "content": "x"}],
            )
        for word, hits in {'"hi"': 1, "back\\": 1, "%_": 1, "_a": 0}.items():
            assert as_dana.get(dataset.get_absolute_url(), {"q": word}).context["total"] == hits, word

    def test_a_row_opens_as_the_conversation_it_is(self, as_dana: Client, demo: Dataset) -> None:
        row = demo.rows.get(position=5)
        text = as_dana.get(where("dataset_row", demo, position=5)).content.decode()
        assert "Row 6" in text and "the answer to learn" in text
        assert as_dana.get(where("dataset_row", demo, position=99_999)).status_code == 404
        assert row.prompt.startswith("Translate to French: ")

    def test_what_people_wrote_is_text_and_never_markup(self, as_dana: Client, team: Team) -> None:
        dataset = Dataset.objects.create(team=team, name="<b>Bold</b>", sha256="", counts={"train": 1})
        evil = "<script>alert(1)</script>"
        Row.objects.create(
            dataset=dataset,
            position=0,
            split="train",
            messages=[{"role": "user", "content": evil}, {"role": "assistant", "content": evil}],
        )
        for page in (
            dataset.get_absolute_url(),
            where("dataset_row", dataset, position=0),
            reverse("datasets", kwargs={"team": team.slug}),
        ):
            text = as_dana.get(page).content.decode()
            assert evil not in text and "<b>Bold" not in text


class TestKeeping:
    def test_archive_and_undo(self, as_bob: Client, demo: Dataset) -> None:
        page = reverse("datasets", kwargs={"team": demo.team.slug})
        text = as_bob.post(where("dataset_archive", demo), follow=True).content.decode()
        assert "is archived" in text and "Undo" in text
        assert not Dataset.objects.for_team(demo.team).exists()
        assert demo.get_absolute_url() not in as_bob.get(page).content.decode()
        as_bob.post(where("dataset_archive", demo), {"undo": "1"})
        assert demo.get_absolute_url() in as_bob.get(page).content.decode()

    @pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
    def test_download_is_every_row_with_its_split(self, as_dana: Client, demo: Dataset) -> None:
        answer = as_dana.get(where("dataset_download", demo))
        rows = [json.loads(line) for line in b"".join(answer).splitlines()]
        assert len(rows) == demo.total and {row["split"] for row in rows} == {"train", "validation", "test"}
        assert "interface-strings-english-to-french.jsonl" in answer["Content-Disposition"]

    def test_who_may(
        self, as_dana: Client, as_charlie: Client, as_nobody: Client, demo: Dataset, other_team: Team
    ) -> None:
        assert as_dana.post(where("dataset_archive", demo)).status_code == 403
        assert as_nobody.get(demo.get_absolute_url()).status_code == 302
        for name in ("dataset", "dataset_rows", "dataset_download"):
            assert as_charlie.get(where(name, demo)).status_code == 404
            foreign = reverse(name, kwargs={"team": other_team.slug, "dataset_id": demo.pk})
            assert as_charlie.get(foreign).status_code == 404

    def test_an_empty_team_is_told_what_data_is(self, as_bob: Client, team: Team) -> None:
        assert "No data yet" in as_bob.get(reverse("datasets", kwargs={"team": team.slug})).content.decode()
