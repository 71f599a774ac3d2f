"""Is the process alive, and could the studio do work right now?"""

from __future__ import annotations

from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from redis.exceptions import RedisError

from jobs.models import Worker


def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. Nothing else is asked, so a slow database never gets it restarted."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> JsonResponse:
    """Database, Redis and one worker of each kind: 200 when all are there, else 503 and which are not."""
    checks: dict[str, bool] = {"database": False, "redis": False, "infer": False, "train": False, "default": False}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        checks["database"] = True
        for kind in Worker.objects.kinds_alive():
            checks[kind] = True
    except DatabaseError:
        pass
    try:
        cache.get("readyz")
        checks["redis"] = True
    except (RedisError, OSError):
        pass
    return JsonResponse({"ready": all(checks.values()), "checks": checks}, status=200 if all(checks.values()) else 503)
