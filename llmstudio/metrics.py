"""Figures for Prometheus: this process, and what the database knows of jobs and workers.

Counted at each scrape, so every web process tells the same. It does not know what the jobs do.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from ipaddress import ip_address

from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from jobs.models import FineTune, Generation, Import, Mail, State, Worker
from jobs.models.lifecycle import ACTIVE

JOBS = {"generation": Generation, "fine_tune": FineTune, "import": Import, "mail": Mail}


class Database(Collector):
    """Jobs that wait or run, and workers seen lately. Finished jobs are history, for the pages."""

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # so that registering does not ask the database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("studio_jobs", "Jobs that wait or run.", labels=["kind", "state"])
        for kind, model in JOBS.items():
            waiting = model._default_manager.filter(state__in=(State.QUEUED, *ACTIVE))
            for state, number in waiting.values_list("state").annotate(Count("pk")):
                jobs.add_metric([kind, state], number)
        yield jobs
        workers = GaugeMetricFamily("studio_workers", "Workers that have reported lately.", labels=["kind"])
        for kind, number in Worker.objects.alive().values_list("kind").annotate(Count("pk")):
            workers.add_metric([kind], number)
        yield workers


REGISTRY.register(Database())


def _may_read(request: HttpRequest) -> bool:
    """This machine itself (not through a proxy), or whoever has the token."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if settings.METRICS_TOKEN and hmac.compare_digest(token.encode(), settings.METRICS_TOKEN.encode()):
        return True
    return "X-Forwarded-For" not in request.headers and ip_address(request.META["REMOTE_ADDR"]).is_loopback


def metrics(request: HttpRequest) -> HttpResponse:
    if not _may_read(request):
        sentence = "Metrics are for this machine, or for a bearer of METRICS_TOKEN.\n"
        return HttpResponse(sentence, status=403, content_type="text/plain")
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)
