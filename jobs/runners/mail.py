"""The default worker's other runner: sends queued mail through the server that EMAIL_URL names, one at a time.

A server that is away or busy is tried three times in all, some minutes apart; an answer that will not change ends the
mail at once. A worker lost between sending and saying so sends again, under the same Message-ID.
"""

from __future__ import annotations

import logging
import smtplib
import threading
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models.functions import Now

from jobs.models import Cause, LeaseLost, Mail, State
from jobs.runners.lease import kept

log = logging.getLogger(__name__)


class MailRunner:
    pause = 5.0

    def __init__(self, name: str, stopping: threading.Event) -> None:
        self.name, self.stopping = name, stopping

    def facts(self) -> dict[str, Any]:
        return {}

    def look(self) -> None:
        sent = False
        while not self.stopping.is_set() and (claimed := Mail.objects.all().claim(self.name)):
            self._send(claimed[0])
            sent = True
        if sent:
            Mail.objects.all().sent_long_ago().delete()

    def stop(self) -> None:
        """A mail that is cut off is claimed again by the next worker."""

    def _send(self, mail: Mail) -> None:
        try:
            with kept(mail):
                problem = deliver(mail)
            if problem is None:
                mail.finish(State.SUCCEEDED)
            elif problem.lasting or mail.attempts >= mail.MAX_ATTEMPTS:
                log.error("The mail %s was given up: %s", mail.pk, problem)
                mail.finish(State.FAILED, cause=problem.cause, message=str(problem))
            else:
                log.warning("The mail %s has to wait: %s", mail.pk, problem)
                mail.release(counted=True, message=str(problem), not_before=Now() + mail.WAITS[mail.attempts - 1])
        except LeaseLost as error:
            log.warning("%s", error)


class NotDelivered(Exception):
    """Why a mail did not go out. `lasting`: trying again would get the same answer."""

    def __init__(self, sentence: str, *, lasting: bool, cause: str = Cause.ERROR) -> None:
        super().__init__(sentence)
        self.lasting, self.cause = lasting, cause


def deliver(mail: Mail) -> NotDelivered | None:
    """Hand the mail to the server; what went wrong, if anything."""
    host = str(settings.DEFAULT_FROM_EMAIL).rpartition("@")[2].strip("> ") or "localhost"
    try:
        EmailMessage(mail.subject, mail.body, to=[mail.to], headers={"Message-ID": f"<{mail.pk}@{host}>"}).send()
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        answer = "; ".join(f"{code} {_words(text)}" for code, text in error.recipients.values())
        lasting = all(code >= 500 for code in codes)
        return NotDelivered(f"The mail server refused the address {mail.to}: {answer}", lasting=lasting)
    except smtplib.SMTPAuthenticationError as error:
        sentence = "The mail server did not accept the name and password in EMAIL_URL"
        return NotDelivered(f"{sentence}: {error.smtp_code} {_words(error.smtp_error)}", lasting=False)
    except smtplib.SMTPResponseException as error:
        answer = f"{error.smtp_code} {_words(error.smtp_error)}"
        return NotDelivered(f"The mail server refused the mail: {answer}", lasting=error.smtp_code >= 500)
    except OSError as error:  # no connection, a broken one, a slow one; smtplib's other errors are OSErrors too
        return NotDelivered(f"The mail server could not be reached: {error or type(error).__name__}", lasting=False)
    except ValueError as error:  # a line end in a header, or an address that is none
        return NotDelivered(f"The mail cannot be written: {error}", lasting=True, cause=Cause.BAD_DATA)
    return None


def _words(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
