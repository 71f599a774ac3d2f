"""Uploading a file on its pages: what it is taken for, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from jobs.datasets import run_import
from jobs.datasets.detection import guess
from jobs.models import Import, StoredFile
from tests.jobs.uploads import chat, imported, lines, stored
from workspace.models import Team, User


class TestDetection:
    @pytest.mark.parametrize(
        ("name", "content", "format"),
        [
            ("a.jsonl", lines(chat()), "chat"),
            ("a.txt", lines({"prompt": "a", "completion": "b"}), "completion"),
            ("a.csv", b"question,answer\n1,2\n", "csv"),
            ("a.csv", b"\xef\xbb\xbfid;prompt;completion\n1;2;3\n", "csv"),
            ("a.json", b'[\n{"messages": []}\n]', ""),
            ("a.pdf", b"%PDF-1.4\nxx", ""),
            ("a.jsonl", lines({"conversations": []}), ""),
        ],
    )
    def test_says_what_it_is_and_why(self, tmp_path: Path, name: str, content: bytes, format: str) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        found = guess(path, name)
        assert found.format == format and found.evidence

    def test_columns_are_guessed_by_their_names(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_bytes(b"id;System;Question;Answer;split\n1;s;q;a;train\n")
        assert guess(path, "t.csv").mapping == {
            "system": "System",
            "prompt": "Question",
            "completion": "Answer",
            "split": "split",
        }


class TestPages:
    def test_from_upload_to_rows(self, as_bob: Client, team: Team, bob: User) -> None:
        page = reverse("upload", kwargs={"team": team.slug})
        answer = as_bob.post(
            page, {"file": SimpleUploadedFile("pairs.csv", b"english,french\nYes,Oui\nNo,Non\n")}, follow=True
        )
        text = answer.content.decode()
        assert "The first line has 2 names separated by commas" in text and "Oui" in text
        file = StoredFile.objects.get()
        start = reverse("import_start", kwargs={"team": team.slug, "file_id": file.pk})
        refused = as_bob.post(
            start, {"name": "Pairs", "format": "csv", "prompt": "english", "completion": "", "splitting": "auto"}
        )
        assert refused.status_code == 422 and "Choose a column." in refused.content.decode()
        answer = as_bob.post(
            start, {"name": "Pairs", "format": "csv", "prompt": "english", "completion": "french", "splitting": "auto"}
        )
        (job,) = Import.objects.all().claim("default@test")
        run_import(job)
        assert job.author == bob
        assert "2 rows imported" in as_bob.get(answer.url).content.decode()
        dataset = as_bob.get(job.dataset.get_absolute_url()).content.decode()
        assert "Oui" in dataset and "None of" not in dataset

    def test_a_failed_import_lists_its_lines_and_offers_the_good_rows(
        self, as_bob: Client, as_dana: Client, team: Team
    ) -> None:
        job = imported(team, lines(chat("1"), b"bad", chat("2")))
        text = as_bob.get(job.get_absolute_url()).content.decode()
        assert "Import the 2 good rows" in text and "is not JSON" in text
        assert "Import the 2 good rows" not in as_dana.get(job.get_absolute_url()).content.decode()
        as_bob.post(reverse("import_again", kwargs={"team": team.slug, "import_id": job.pk}))
        (again,) = Import.objects.all().claim("default@test")
        run_import(again)
        assert again.dataset.total == 2

    def test_a_refused_upload_says_why(self, as_bob: Client, team: Team, settings: object) -> None:
        settings.STUDIO_MAX_UPLOAD = 10
        page = reverse("upload", kwargs={"team": team.slug})
        assert "No file was chosen" in as_bob.post(page).content.decode()
        assert "is empty" in as_bob.post(page, {"file": SimpleUploadedFile("a.csv", b"")}).content.decode()
        answer = as_bob.post(page, {"file": SimpleUploadedFile("a.csv", b"x" * 11)})
        assert answer.status_code == 413 and "larger than" in answer.content.decode()
        assert not StoredFile.objects.exists()

    def test_waiting_without_a_worker_is_said(self, as_bob: Client, team: Team) -> None:
        job = Import.objects.create(team=team, file=stored(team, lines(chat())), name="Rows", format="chat")
        assert "No background worker is running" in as_bob.get(job.get_absolute_url()).content.decode()
        as_bob.post(reverse("import_cancel", kwargs={"team": team.slug, "import_id": job.pk}))
        assert "Nothing was imported" in as_bob.get(job.get_absolute_url()).content.decode()

    def test_viewers_may_look_but_not_upload_and_others_see_nothing(
        self, as_dana: Client, as_charlie: Client, team: Team, other_team: Team
    ) -> None:
        job = imported(team, lines(chat()))
        assert as_dana.get(job.get_absolute_url()).status_code == 200
        assert as_dana.post(reverse("upload", kwargs={"team": team.slug})).status_code == 403
        assert as_charlie.get(job.get_absolute_url()).status_code == 404
        foreign = reverse("import", kwargs={"team": other_team.slug, "import_id": job.pk})
        assert as_charlie.get(foreign).status_code == 404
        assert (
            as_charlie.get(reverse("import_new", kwargs={"team": other_team.slug, "file_id": job.file_id})).status_code
            == 404
        )
