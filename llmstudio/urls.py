"""Every door in one list. Who may use each is in llmstudio/policy.py."""

from django.urls import include, path

from llmstudio.api import api, langfuse, openapi, v1
from llmstudio.health import healthz, readyz
from llmstudio.metrics import metrics

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("accounts/", include("allauth.account.urls")),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("accounts/sessions/", include("allauth.usersessions.urls")),
    path("v1/", v1.urls),
    path("api/openapi.json", openapi, name="openapi"),
    path("api/public/", langfuse.urls),
    path("api/", api.urls),
    path("", include("workspace.urls")),
    path("t/<slug:team>/", include("jobs.urls")),
]

handler400 = "llmstudio.refusals.bad_request"
handler404 = "llmstudio.openai_errors.not_found"
handler500 = "llmstudio.openai_errors.crashed"
