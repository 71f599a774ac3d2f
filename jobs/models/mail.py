"""Mail that is still to be sent: a job of the default worker, queued in the transaction of what it tells about."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.models.lifecycle import Job, JobQuerySet, State
from jobs.tasks import ring_on_commit


class MailQuerySet(JobQuerySet):
    def claimable(self) -> Self:
        """Those whose time has come: one that could not be delivered waits before the next try."""
        return super().claimable().filter(Q(not_before=None) | Q(not_before__lte=Now()))

    def sent_long_ago(self) -> Self:
        return self.filter(state=State.SUCCEEDED, finished_at__lt=Now() - Mail.KEPT)


class Mail(Job):
    """One message to one address."""

    WAITS = (timedelta(minutes=1), timedelta(minutes=10))  # before the second and the third try
    KEPT = timedelta(days=7)  # after it was sent

    to = models.EmailField()
    subject = models.CharField(max_length=200)
    body = models.TextField()
    not_before = models.DateTimeField(null=True)

    objects = MailQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["queued_at"], condition=models.Q(state="queued"), name="mail_queue")]

    def __str__(self) -> str:
        return self.subject

    @classmethod
    def post(cls, *, to: str, subject: str, body: str) -> Mail:
        """Queue a message in the caller's transaction."""
        mail: Mail = cls.objects.create(to=to, subject=subject[:200], body=body)
        ring_on_commit("default")
        return mail
