"""The Celery app: queues that carry doorbells, never work (docs/architecture.md, "Jobs")."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmstudio.settings")

app = Celery("llmstudio")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["jobs"])
