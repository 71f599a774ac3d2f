"""Base models and adapters: what can answer here, and adding an OpenAI-compatible server."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.text import slugify

from jobs.downloads import attachment, zipped
from jobs.forms import NumberField
from jobs.models import Adapter, LanguageModel, Worker
from jobs.servers import Refused, check_url
from llmstudio.asked import key_in
from llmstudio.http import StudioRequest


class ServerForm(forms.Form):
    """A model on an OpenAI-compatible server. With a model it changes that one."""

    name = forms.CharField(max_length=120, label="Name", help_text="As people here will see it.")
    url = forms.CharField(
        max_length=200,
        label="Address",
        help_text="Where its API begins, such as http://gpu-box:8000/v1.",
        widget=forms.URLInput,
    )
    url_model = forms.CharField(max_length=200, label="Model", help_text="Its name on that server.")
    url_key = forms.CharField(
        max_length=400,
        required=False,
        label="API key",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown again. Leave it empty if the server wants none.",
    )
    context_length = NumberField(
        low=128,
        high=10_000_000,
        whole=True,
        initial=8192,
        label="Context length",
        help_text="Tokens it reads at most, question and answer together.",
    )

    def __init__(self, data: Any = None, *, model: LanguageModel | None = None) -> None:
        first = (
            {name: getattr(model, name) for name in ("name", "url", "url_model", "context_length")} if model else None
        )
        super().__init__(data, initial=first, auto_id=f"id_{model.pk if model else 'new'}_%s")
        if model and model.url_key:
            self.fields[
                "url_key"
            ].help_text = "A key is stored. Leave this empty to keep it; another address forgets it."

    def clean_url(self) -> str:
        try:
            return check_url(self.cleaned_data["url"])
        except Refused as refusal:
            raise forms.ValidationError(str(refusal)) from None


def models(request: StudioRequest) -> HttpResponse:
    return _page(request)


def _page(
    request: StudioRequest, *, form: ServerForm | None = None, changed: LanguageModel | None = None, status: int = 200
) -> HttpResponse:
    bases = list(LanguageModel.objects.for_team(request.team))
    own = [base for base in bases if base.kind == LanguageModel.Kind.REMOTE and base.team_id == request.team.pk]
    context = {
        "bases": bases,
        "adapters": Adapter.objects.for_team(request.team).select_related("base", "team", "finetune"),
        "workers": Worker.objects.alive().order_by("kind", "name"),
        "kinds": Worker.objects.all().kinds_alive(),
        "new_form": form if form and not changed else ServerForm(),
        "own_forms": [
            (base, form if form and base == changed else ServerForm(model=base), f"change-{base.pk}") for base in own
        ],
        "open_dialog": f"change-{changed.pk}" if changed else "new-server" if form else "",
        "archived": _just_archived(request),
    }
    return render(request, "jobs/models.html", context, status=status)


def model_new(request: StudioRequest) -> HttpResponse:
    form = ServerForm(request.POST)
    if not form.is_valid():
        return _page(request, form=form, status=422)
    model = LanguageModel(
        team=request.team, kind=LanguageModel.Kind.REMOTE, key=_free_key(request.team.slug, form.cleaned_data["name"])
    )
    _take(model, form)
    return redirect("models", team=request.team.slug)


def model_change(request: StudioRequest, model_id: int) -> HttpResponse:
    model = _own_server(request, model_id)
    form = ServerForm(request.POST, model=model)
    if not form.is_valid():
        return _page(request, form=form, changed=model, status=422)
    _take(model, form)
    return redirect("models", team=request.team.slug)


def model_remove(request: StudioRequest, model_id: int) -> HttpResponse:
    """Out of every list, with its key. What it has said stays."""
    model = _own_server(request, model_id)
    LanguageModel.objects.filter(pk=model.pk).update(enabled=False, url_key="")
    return redirect("models", team=request.team.slug)


def adapter_archive(request: StudioRequest, adapter_id: UUID) -> HttpResponse:
    """Out of the lists and of /v1/models, or (undo) back again. Its files and its run stay."""
    undo = bool(request.POST.get("undo"))
    adapter = get_object_or_404(Adapter.objects.select_related("team"), team=request.team, pk=adapter_id)
    adapter.archive(request.user, undo=undo)
    page = reverse("models", kwargs={"team": request.team.slug})
    return redirect(page if undo else f"{page}?archived={adapter.pk}")


def adapter_download(request: StudioRequest, adapter_id: UUID) -> HttpResponseBase:
    adapter = get_object_or_404(Adapter, team=request.team, pk=adapter_id)
    if not adapter.path.is_dir():
        message = "The files of this adapter are not on this machine. If training runs on another host, both need the same runs folder."
        return render(request, "404.html", {"message": message}, status=404)
    return attachment(zipped(adapter.path), f"{slugify(adapter.name) or 'adapter'}.zip", "application/zip")


def _take(model: LanguageModel, form: ServerForm) -> None:
    values = form.cleaned_data
    model.point_at(values["url"], key=values["url_key"])
    model.name, model.url_model, model.context_length = values["name"], values["url_model"], values["context_length"]
    model.save()


def _own_server(request: StudioRequest, model_id: int) -> LanguageModel:
    return get_object_or_404(
        LanguageModel, team=request.team, pk=model_id, kind=LanguageModel.Kind.REMOTE, enabled=True
    )


def _free_key(team: str, name: str) -> str:
    """An id for /v1/models that no one has."""
    stem = f"{team}-{slugify(name) or 'model'}"[:72]
    taken = set(LanguageModel.objects.filter(key__startswith=stem).values_list("key", flat=True))
    return next(key for n in range(1, len(taken) + 2) if (key := stem if n == 1 else f"{stem}-{n}") not in taken)


def _just_archived(request: StudioRequest) -> Adapter | None:
    key = key_in(request.GET.get("archived"))
    return Adapter.objects.filter(team=request.team, pk=key, archived_at__isnull=False).first() if key else None
