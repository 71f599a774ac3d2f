"""The quality report: what it finds, who makes it, how the page shows it; and near-duplicates among texts."""

from __future__ import annotations

import random
import subprocess
import sys
import threading

from django.test import Client
from django.urls import reverse

from jobs.datasets.collected import Picked, collect
from jobs.ml.duplicates import NearDuplicates
from jobs.models import Dataset, Split
from jobs.runners.quality import QualityRunner
from workspace.models import Team, User

WORDS = [f"word{n}" for n in range(2000)]


def sentence(draw: random.Random, count: int = 40) -> list[str]:
    return draw.choices(WORDS, k=count)


def grouped(texts: list[str], at_once: int = 7) -> list[int]:
    near = NearDuplicates(len(texts))
    for start in range(0, len(texts), at_once):
        near.add(texts[start : start + at_once])
    return near.groups().tolist()


class TestNearDuplicates:
    def test_a_word_changed_is_near_and_others_are_not(self) -> None:
        draw = random.Random(1)
        texts = [" ".join(sentence(draw, 120)) for _ in range(50)]
        changed = [text.replace(text.split()[60], "other") for text in texts[:20]]
        assert grouped(texts + changed) == [*range(50), *range(20)]

    def test_case_punctuation_and_spacing_do_not_count(self) -> None:
        assert grouped(["The cat sat, on the mat.", "  the CAT\nsat on the   mat!", "The dog sat on the mat."]) == [
            0,
            0,
            2,
        ]

    def test_short_texts_are_compared_as_they_are(self) -> None:
        assert grouped(["yes", "no", "Yes!", "yes no", "no", "", "...", ""]) == [0, 1, 0, 3, 1, 5, 6, 7]

    def test_words_do_not_run_over_from_one_text_into_the_next(self) -> None:
        assert grouped(["a b", "c d", "a b c d"]) == [0, 1, 2]

    def test_the_place_in_a_block_makes_no_difference(self) -> None:
        draw = random.Random(2)
        texts = [" ".join(sentence(draw)) for _ in range(300)]
        assert grouped(texts + texts, 1) == grouped(texts + texts, 600) == [*range(300), *range(300)]

    def test_as_many_are_found_as_two_in_three_at_the_threshold(self) -> None:
        draw = random.Random(4)
        pairs = []
        for _ in range(400):  # 57 of 63 runs of three words in common: 0.83
            words = sentence(draw, 62)
            pairs += [" ".join(words), " ".join([*words[:30], "other", *words[31:]])]
        found = sum(first != at for at, first in enumerate(grouped(pairs, 100)))
        assert found >= 300

    def test_nothing_at_all(self) -> None:
        assert grouped([]) == []


def made(team: Team, *rows: tuple[str, str]) -> Dataset:
    picked = [Picked([{"role": "user", "content": q}, {"role": "assistant", "content": a}], "") for q, a in rows]
    dataset = collect(picked, team=team, author=None, name="Rows").dataset
    assert dataset
    return dataset


class TestReport:
    def test_says_what_is_in_the_rows(self, team: Team, as_dana: Client) -> None:
        long = " ".join(sentence(random.Random(3), 80))
        dataset = made(team, ("a", "1"), ("a", "1"), ("a", "2"), (long, "yes"), (long + " too", "yes"), ("b", "x" * 90))
        dataset.rows.filter(position=4).update(split=Split.TEST)
        page = reverse("dataset", kwargs={"team": team.slug, "dataset_id": dataset.pk})
        assert "looked through" in as_dana.get(page).content.decode()
        QualityRunner(threading.Event()).look()
        dataset.refresh_from_db()
        found = dataset.quality
        assert found["rows"] == 6 and found["repeated"] == 1 and found["conflicts"] == 1
        assert found["near"]["rows"] == 2 and found["near"]["shown"] == [[1, 2], [4, 5]]
        assert found["leaks"] == {"rows": 1, "shown": [5]}
        assert found["length"]["most"] == len(long) + len(" too\nyes")
        text = " ".join(as_dana.get(page).content.decode().split())
        assert "1 row kept for validation or test resembles one that trains" in text
        assert "2 of 6 rows nearly repeat an earlier one" in text and "1 question has more than one answer" in text
        part = as_dana.get(reverse("dataset_quality", kwargs={"team": team.slug, "dataset_id": dataset.pk}))
        assert "2 of 6 rows" in " ".join(part.content.decode().split()) and "hx-get" not in part.content.decode()

    def test_every_data_set_gets_one_and_one_that_fails_holds_no_other_up(
        self, team: Team, alice: User, as_dana: Client, monkeypatch
    ) -> None:
        first, second = made(team, ("a", "1")), made(team, ("b", "2"))
        real = NearDuplicates.add
        monkeypatch.setattr(
            NearDuplicates, "add", lambda near, texts: real(near, texts) if texts == ["b\n2"] else 1 / 0
        )  # fmt: skip
        QualityRunner(threading.Event()).look()
        page = as_dana.get(reverse("dataset", kwargs={"team": team.slug, "dataset_id": first.pk}))
        assert "could not be looked through" in page.content.decode()
        assert Dataset.objects.get(pk=second.pk).quality["rows"] == 1

    def test_a_worker_that_stops_leaves_it_to_the_next(self, team: Team, monkeypatch) -> None:
        stopping = threading.Event()
        dataset = made(team, ("a", "1"))
        monkeypatch.setattr(NearDuplicates, "__init__", lambda *_: stopping.set())
        QualityRunner(stopping).look()
        assert Dataset.objects.get(pk=dataset.pk).quality is None

    def test_only_the_worker_that_makes_one_loads_numpy(self) -> None:
        code = "import sys, django; django.setup(); import jobs.datasets.quality, jobs.views.datasets; sys.exit('numpy' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True)
