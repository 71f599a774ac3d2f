"""Mail that is still to be sent: a job of the default worker, queued in the transaction of what it tells about."""

from __future__ import annotations

from django.db import models

from jobs.models.lifecycle import Job, JobQuerySet
from jobs.tasks import ring_on_commit


class Mail(Job):
    """One message to one address."""

    to = models.EmailField()
    subject = models.CharField(max_length=200)
    body = models.TextField()

    objects = JobQuerySet.as_manager()

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
