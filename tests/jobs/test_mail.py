"""Mail leaves by a worker: through a real SMTP conversation, with a server that fails, and beside a long import."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.conf import settings
from django.core import mail as outbox
from django.db.models.functions import Now
from django.test import override_settings

from jobs.models import Mail, State
from jobs.runners import sweep as sweep_module
from jobs.runners.mail import MailRunner
from jobs.runners.side_by_side import SideBySide
from jobs.runners.sweep import Sweeper
from jobs.runners.worker import runner_for

pytestmark = pytest.mark.django_db


class Server(threading.Thread):
    """A small SMTP server: keeps what it is sent, and answers RCPT or DATA with what a test tells it to."""

    def __init__(self, **answers: str) -> None:
        super().__init__(daemon=True)
        self.answers, self.kept, self.talks = answers, [], 0
        self.door = socket.create_server(("127.0.0.1", 0))

    @property
    def port(self) -> int:
        return self.door.getsockname()[1]

    def close(self) -> None:
        """Nobody is let in from now on: closing alone would leave `accept` waiting for one more."""
        if self.is_alive():
            self.door.shutdown(socket.SHUT_RDWR)
            self.join()
            self.door.close()

    def run(self) -> None:
        while True:
            try:
                line, _ = self.door.accept()
            except OSError:
                return
            with line:
                self.talks += 1
                self.talk(line.makefile("rwb", buffering=0))

    def talk(self, line: Any) -> None:
        line.write(b"220 here\r\n")
        while word := line.readline().strip():
            verb = word.split()[0].upper().decode()
            if verb == "QUIT":
                return line.write(b"221 bye\r\n")
            if verb == "DATA" and "DATA" not in self.answers:
                line.write(b"354 go on\r\n")
                body = b""
                while (part := line.readline()) != b".\r\n":
                    body += part
                self.kept.append(message_from_bytes(body, policy=policy.default))
            line.write(self.answers.get(verb, "250 well").encode() + b"\r\n")
        return None


@contextmanager
def serving(**answers: str) -> Iterator[Server]:
    server = Server(**answers)
    server.start()
    smtp = {"EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend", "EMAIL_HOST": "127.0.0.1"}
    with override_settings(**smtp, EMAIL_PORT=server.port, EMAIL_TIMEOUT=2):
        yield server
    server.close()


def worked() -> None:
    MailRunner("default@here:1", threading.Event()).look()


@pytest.fixture
def letter(db: None) -> Mail:
    return Mail.post(to="bob@example.com", subject="Alice mentioned you", body="Überall: “hello”\nhttp://here/\n")


def later(letter: Mail) -> None:
    """As if its wait were over."""
    Mail.objects.filter(pk=letter.pk).update(not_before=Now() - timedelta(seconds=1))


def test_a_queued_mail_arrives_word_for_word(letter: Mail) -> None:
    with serving() as server:
        worked()
    [got] = server.kept
    assert (got["To"], got["Subject"], got["From"]) == (letter.to, letter.subject, settings.DEFAULT_FROM_EMAIL)
    assert got.get_content().replace("\r\n", "\n") == letter.body
    assert str(letter.pk) in got["Message-ID"]
    letter.refresh_from_db()
    assert letter.state == State.SUCCEEDED and letter.finished_at


def test_it_is_sent_once(letter: Mail) -> None:
    with serving() as server:
        worked()
        worked()
    assert len(server.kept) == 1


def test_a_server_that_is_away_is_tried_three_times_with_waits_between(letter: Mail) -> None:
    with serving() as server:
        server.close()
        for attempt in (1, 2):
            worked()
            worked()  # too soon: nothing is tried
            letter.refresh_from_db()
            assert (letter.state, letter.attempts) == (State.QUEUED, attempt)
            assert letter.not_before > letter.queued_at and "could not be reached" in letter.message
            later(letter)
        worked()
    letter.refresh_from_db()
    assert (letter.state, letter.cause, letter.attempts) == (State.FAILED, "error", 3)
    assert "could not be reached" in letter.message


def test_after_an_outage_it_arrives(letter: Mail) -> None:
    with serving(DATA="451 try later"):
        worked()
    letter.refresh_from_db()
    assert letter.state == State.QUEUED and "451 try later" in letter.message
    later(letter)
    with serving() as server:
        worked()
    letter.refresh_from_db()
    assert letter.state == State.SUCCEEDED and letter.message == "" and len(server.kept) == 1


def test_an_address_that_does_not_exist_is_not_tried_again(letter: Mail) -> None:
    with serving(RCPT="550 no such user") as server:
        worked()
    letter.refresh_from_db()
    assert (letter.state, letter.attempts, server.kept) == (State.FAILED, 1, [])
    assert "bob@example.com" in letter.message and "550 no such user" in letter.message


def test_a_subject_of_two_lines_forges_no_header() -> None:
    letter = Mail.post(to="bob@example.com", subject="Hello\nBcc: eve@example.com", body="-")
    with serving() as server:
        worked()
    letter.refresh_from_db()
    assert (letter.state, letter.cause, server.kept) == (State.FAILED, "bad_data", [])


def test_a_bad_mail_does_not_hold_up_the_next(letter: Mail) -> None:
    Mail.objects.filter(pk=letter.pk).update(subject="two\nlines")
    second = Mail.post(to="dana@example.com", subject="Hello", body="-")
    with serving() as server:
        worked()
    second.refresh_from_db()
    assert second.state == State.SUCCEEDED and [got["To"] for got in server.kept] == ["dana@example.com"]


def test_a_worker_that_stops_takes_no_more(letter: Mail) -> None:
    stopping = threading.Event()
    stopping.set()
    MailRunner("default@here:1", stopping).look()
    letter.refresh_from_db()
    assert letter.state == State.QUEUED and not outbox.outbox


def test_a_mail_whose_worker_died_is_sent_by_the_next_but_not_for_ever(letter: Mail, monkeypatch: Any) -> None:
    monkeypatch.setattr(sweep_module, "database_up_for", lambda cursor: timedelta(hours=1))
    for attempt in (1, 2, 3):
        assert Mail.objects.all().claim(f"default@dead:{attempt}")
        Mail.objects.update(lease_until=Now() - timedelta(seconds=1))
        Sweeper().sweep()
    letter.refresh_from_db()
    assert (letter.state, letter.cause, letter.attempts) == (State.FAILED, "lost", 3)


def test_sent_mail_is_forgotten_after_a_week(letter: Mail) -> None:
    with serving():
        worked()
        Mail.objects.update(finished_at=Now() - timedelta(days=8))
        Mail.post(to="bob@example.com", subject="Another", body="-")
        worked()
    assert [mail.subject for mail in Mail.objects.all()] == ["Another"]


def test_the_default_worker_sends_mail_reads_files_and_judges_data_sets() -> None:
    runner = runner_for("default", "default@here:1", threading.Event())
    assert [type(one).__name__ for one in runner.runners] == ["ImportRunner", "MailRunner", "QualityRunner"]


def test_one_runner_that_takes_long_holds_no_other_up() -> None:
    free, looked, ended = threading.Event(), threading.Semaphore(0), []

    class Long:
        pause = 5.0
        looks = 0

        def look(self) -> None:
            self.looks += 1
            free.wait(5)

        def facts(self) -> dict[str, Any]:
            return {}

        def stop(self) -> None:
            ended.append(self)

    class Short(Long):
        def look(self) -> None:
            looked.release()

    long, short = Long(), Short()
    both = SideBySide(long, short)
    both.look()
    assert looked.acquire(timeout=5)
    both.looking[1].join(5)
    both.look()
    assert looked.acquire(timeout=5) and long.looks == 1, "the busy one is not started twice"
    free.set()
    both.stop()
    assert ended == [long, short]


def test_a_runner_that_breaks_looks_again_the_next_time() -> None:
    class Broken:
        pause = 5.0
        looks = 0

        def look(self) -> None:
            self.looks += 1
            raise RuntimeError("broken")

    broken = Broken()
    both = SideBySide(broken)
    for _ in range(2):
        both.look()
        both.looking[0].join(5)
    assert broken.looks == 2
