"""Taking a file in: checks by line, all or nothing, splits."""

from __future__ import annotations

import psycopg
import pytest
from django.db import Error, connection

from jobs.datasets import readers, run_import, splits
from jobs.datasets.rows import written
from jobs.models import Dataset, Import, LeaseLost, Row, Split, State
from tests.jobs.uploads import chat, imported, lines, stored
from workspace.models import Team


def reasons(job: Import) -> dict[int, str]:
    return {problem["line"]: problem["reason"] for problem in job.problems}


class TestGoodFiles:
    def test_chat_rows_arrive_in_order_with_their_lines(self, team: Team) -> None:
        system = {"role": "system", "content": "Be brief."}
        job = imported(team, lines(chat("One?", "1"), b"", {"messages": [system, *chat("Two?", "2")["messages"]]}))
        assert job.state == State.SUCCEEDED, job.message
        rows = list(job.dataset.rows.all())
        assert [(row.line, row.answer) for row in rows] == [(1, "1"), (3, "2")]
        assert rows[1].messages[0] == system
        assert job.rows_read == 2 and not job.problems_total

    def test_the_developer_role_is_the_system_prompt_and_text_parts_are_text(self, team: Team) -> None:
        messages = [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": "Hello"},
        ]
        row = imported(team, lines({"messages": messages})).dataset.rows.get()
        assert [m["role"] for m in row.messages] == ["system", "user", "assistant"]
        assert row.prompt == "Hi"

    def test_prompt_and_completion(self, team: Team) -> None:
        job = imported(team, lines({"prompt": "2+2", "completion": "4", "system": "Add."}), "completion")
        assert job.dataset.rows.get().messages == [
            {"role": "system", "content": "Add."},
            {"role": "user", "content": "2+2"},
            {"role": "assistant", "content": "4"},
        ]

    def test_csv_with_quotes_line_ends_and_a_byte_order_mark(self, team: Team) -> None:
        text = '\ufeffquestion,answer\r\n"Say ""hi"", please","line one\r\nline two"\r\nlast,7\r\n'
        job = imported(team, text.encode(), "csv", "t.csv", mapping={"prompt": "question", "completion": "answer"})
        assert job.state == State.SUCCEEDED, job.message
        assert [(r.line, r.prompt, r.answer) for r in job.dataset.rows.all()] == [
            (2, 'Say "hi", please', "line one\r\nline two"),
            (4, "last", "7"),
        ]

    def test_what_a_database_or_json_reads_otherwise_arrives_as_it_was_written(self, team: Team) -> None:
        odd = [r"C:\new\table\.", "\\N", "tab\there", 'quote " and \r\n', "\u2028 \x7f 😀", "\\\\"]
        job = imported(team, lines(*[chat(text, text) for text in odd]))
        assert job.state == State.SUCCEEDED, job.message
        assert [(row.prompt, row.answer) for row in job.dataset.rows.all()] == [(text, text) for text in odd]

    def test_semicolons_and_tabs_separate_too(self, team: Team) -> None:
        for mark in ";\t":
            job = imported(
                team, f"a{mark}b\n1{mark}2\n".encode(), "csv", "t.csv", mapping={"prompt": "a", "completion": "b"}
            )
            assert job.dataset.rows.get().answer == "2"

    def test_the_file_is_kept_byte_for_byte(self, team: Team) -> None:
        content = lines(chat()).replace(b"\n", b"\r\n")
        assert stored(team, content).path.read_bytes() == content


BAD_ROWS = {
    "not JSON": (b'{"messages": [', "is not JSON"),
    "not an object": (b"[1]", "is not a JSON object"),
    "not UTF-8": (b'{"messages": "\xff"}', "is not UTF-8"),
    "NaN": (b'{"messages": NaN}', "NaN is not JSON"),
    "no messages": ({"text": "x"}, "no “messages”"),
    "no content": ({"messages": [{"role": "user"}]}, "no text in message 1"),
    "unknown role": ({"messages": [{"role": "narrator", "content": "x"}]}, "role 'narrator'"),
    "tool call": (
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [{}]}]},
        "tool call",
    ),
    "tools": (chat(tools=[{}]), "has tools"),
    "picture": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "other than text",
    ),
    "weight": (
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "weight": 0}]},
        "weight",
    ),
    "empty answer": (chat(answer="  "), "empty answer"),
    "empty question": (chat(question=""), "empty message 1"),
    "ends with the user": ({"messages": [{"role": "user", "content": "x"}]}, "does not end with an answer"),
    "two users": (
        {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]},
        "where the assistant is due",
    ),
    "late system": ({"messages": [*chat()["messages"], {"role": "system", "content": "x"}]}, "may only come first"),
    "NUL": (chat(answer="a\x00b"), "NUL"),
    "lone surrogate": (
        b'{"messages": [{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "y"}]}',
        "surrogate",
    ),
    "unknown split": (chat(split="holdout"), "has the split 'holdout'"),
    "too long": (b'{"messages": "' + b"x" * readers.MAX_LINE + b'"}', "longer than 4 MiB"),
}


class TestBadRows:
    @pytest.mark.parametrize("kind", BAD_ROWS)
    def test_is_named_by_line_and_nothing_is_imported(self, team: Team, kind: str) -> None:
        bad, reason = BAD_ROWS[kind]
        job = imported(team, lines(chat("1", split="train"), bad, chat("2", split="train")))
        assert job.state == State.FAILED and job.cause == "bad_data"
        assert list(reasons(job)) == [2] and reason in reasons(job)[2]
        assert job.message.startswith("1 row of 3 cannot be used")
        assert not Dataset.objects.exists() and not Row.objects.exists()

    def test_csv_rows_are_named_by_the_line_they_start_on(self, team: Team) -> None:
        text = b'q,a\nfine,"two\nlines"\nonly one\n"x"y,2\nlatin \xe9,3\nfine,4\n,5\n'
        job = imported(team, text, "csv", "t.csv", mapping={"prompt": "q", "completion": "a"})
        found = reasons(job)
        assert {4, 5, 6, 8} == set(found)
        assert "has 1 fields where the header has 2" in found[4]
        assert "closing quote" in found[5]
        assert "UTF-8" in found[6]
        assert "empty" in found[8]

    def test_an_open_quote_is_named_where_it_opens(self, team: Team) -> None:
        job = imported(
            team,
            b'q,a\nfine,1\nbad,"never closed\nmore\nmore\n',
            "csv",
            "t.csv",
            mapping={"prompt": "q", "completion": "a"},
        )
        assert reasons(job) == {3: "opens a quote that is never closed"}

    def test_the_good_rows_can_be_had_without_the_bad_ones(self, team: Team) -> None:
        job = imported(team, lines(chat("1"), b"bad", chat("2")), skip_bad=True)
        assert job.state == State.SUCCEEDED
        assert [row.prompt for row in job.dataset.rows.all()] == ["1", "2"]
        assert job.problems_total == 1 and 2 in reasons(job)

    def test_the_first_thousand_are_kept_and_all_are_counted(self, team: Team) -> None:
        job = imported(team, lines(*[b"bad"] * 1200, chat()))
        assert job.problems_total == 1200 and len(job.problems) == 1000
        assert "1,200 rows of 1,201" in job.message

    def test_a_file_of_another_format_says_so(self, team: Team) -> None:
        job = imported(team, lines({"prompt": "a", "completion": "b"}))
        assert "another format" in job.message

    def test_empty_utf16_and_headerless_files_are_refused(self, team: Team) -> None:
        assert "no rows" in imported(team, b"\n\n").message
        assert "UTF-16" in imported(team, '{"messages": []}'.encode("utf-16")).message
        assert (
            "name of its own"
            in imported(team, b"a,a\n1,2\n", "csv", "t.csv", mapping={"prompt": "a", "completion": "a"}).message
        )


class TestAllOrNothing:
    def test_a_bad_row_late_in_the_file_takes_back_what_was_stored_and_the_rest_is_still_judged(
        self, team: Team
    ) -> None:
        good = [chat(str(i)) for i in range(1200)]
        job = imported(team, lines(*good, b"bad", *good, {"messages": []}))
        assert list(reasons(job)) == [1201, 2402]
        assert job.rows_read == 2402 and job.message.startswith("2 rows of 2,402 cannot be used")
        assert not Dataset.objects.exists() and not Row.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_a_database_that_goes_away_is_the_workers_to_handle_and_stores_nothing(
        self, team: Team, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def cut(messages: list[dict[str, str]]) -> str:
            with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
            return written(messages)

        monkeypatch.setattr("jobs.datasets.loading.written", cut)
        with pytest.raises(Error):
            imported(team, lines(chat()))
        connection.close()
        assert Import.objects.get().state == State.RUNNING  # its lease runs out, and it is claimed again
        assert not Dataset.objects.exists()

    def test_a_lost_lease_stores_nothing(self, team: Team) -> None:
        Import.objects.create(team=team, file=stored(team, lines(chat())), name="Rows", format="chat")
        (job,) = Import.objects.all().claim("default@test")
        Import.objects.filter(pk=job.pk).update(fence=job.fence + 1)  # another worker has it now
        with pytest.raises(LeaseLost):
            run_import(job)
        assert not Dataset.objects.exists() and not Row.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_a_cancelled_import_stores_nothing(self, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("jobs.datasets.imports.BEAT", 0.01)
        Import.objects.create(
            team=team, file=stored(team, lines(*[chat(str(i)) for i in range(20_000)])), name="Rows", format="chat"
        )
        (job,) = Import.objects.all().claim("default@test")
        job.request_cancel()
        run_import(job)
        job.refresh_from_db()
        assert job.state == State.CANCELLED and not Row.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_a_long_import_keeps_its_lease_and_tells_how_far_it_is(
        self, team: Team, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jobs.datasets.imports.BEAT", 0.01)
        seen = []
        beat = Import.beat
        monkeypatch.setattr(
            Import, "beat", lambda job, **fields: (seen.append(fields["rows_read"]), beat(job, **fields))
        )
        job = imported(team, lines(*[chat(str(i)) for i in range(5000)]))
        assert job.state == State.SUCCEEDED and job.dataset.total == 5000
        assert seen and seen == sorted(seen)


class TestSplits:
    def test_by_default_a_tenth_validates_between_20_and_500_rows(self) -> None:
        counts = {
            rows: splits.default_targets(rows).get(Split.VALIDATION, 0) for rows in (10, 49, 50, 150, 1000, 100_000)
        }
        assert counts == {10: 0, 49: 0, 50: 20, 150: 20, 1000: 100, 100_000: 500}

    def test_the_same_file_always_splits_alike(self, team: Team) -> None:
        content = lines(*[chat(f"Question {i}", str(i)) for i in range(100)])
        first, second = imported(team, content).dataset, imported(team, content).dataset
        assert first.counts == {"train": 80, "validation": 20, "test": 0}
        assert first.sha256 == second.sha256
        assert list(first.rows.values_list("split", flat=True)) == list(second.rows.values_list("split", flat=True))

    def test_equal_prompts_stay_together(self, team: Team) -> None:
        content = lines(*[chat(f"Question {i % 40}", str(i)) for i in range(200)])
        where: dict[str, set[str]] = {}
        for row in imported(team, content).dataset.rows.all():
            where.setdefault(row.prompt, set()).add(row.split)
        assert all(len(found) == 1 for found in where.values())
        assert {split for found in where.values() for split in found} == {"train", "validation"}

    def test_the_files_own_split_wins_by_default(self, team: Team) -> None:
        job = imported(team, lines(chat("1", split="train"), chat("2", split="val"), chat("3", split="TEST")))
        assert list(job.dataset.rows.values_list("split", flat=True)) == ["train", "validation", "test"]

    def test_a_row_without_a_split_among_others_is_bad(self, team: Team) -> None:
        job = imported(team, lines(chat("1", split="train"), chat("2")))
        assert "has no split" in reasons(job)[2]

    def test_shares_override_the_file(self, team: Team) -> None:
        content = lines(*[chat(str(i), split="train") for i in range(100)])
        job = imported(team, content, shares={"train": 0.7, "validation": 0.1, "test": 0.2})
        assert job.dataset.counts == {"train": 70, "validation": 10, "test": 20}
        assert imported(team, content, shares={"validation": 1.0}).dataset.counts["validation"] == 100
