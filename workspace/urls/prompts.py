"""Doors of prompts: list, editor, versions, labels, reviews."""

from django.urls import path

from workspace.views import library, prompts

urlpatterns = [
    path("t/<slug:team>/prompts/", library.prompts, name="prompts"),
    path("t/<slug:team>/prompts/<uuid:prompt_id>/", prompts.prompt, name="prompt"),
    path("t/<slug:team>/prompts/<uuid:prompt_id>/v/<int:number>/", prompts.prompt_version, name="prompt_version"),
]
