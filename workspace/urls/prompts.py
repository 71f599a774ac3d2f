"""Doors of prompts: list, editor, versions, labels, reviews."""

from django.urls import path

from workspace.views import (
    prompt_details,
    prompt_labels,
    prompt_list,
    prompt_reviews,
    prompt_settings,
    prompt_versions,
    prompts,
)

one = "t/<slug:team>/prompts/<uuid:prompt_id>/"

urlpatterns = [
    path("t/<slug:team>/prompts/", prompt_list.prompts, name="prompts"),
    path("t/<slug:team>/prompts/new/", prompts.prompt_new, name="prompt_new"),
    path("t/<slug:team>/prompts/preview/", prompts.prompt_preview, name="prompt_preview"),
    path("t/<slug:team>/prompts/settings/", prompt_settings.prompt_settings, name="prompt_settings"),
    path("t/<slug:team>/prompts/settings/labels/", prompt_settings.protect, name="prompt_protect"),
    path(one, prompts.prompt, name="prompt"),
    path(f"{one}news/", prompts.prompt_news, name="prompt_news"),
    path(f"{one}versions/", prompt_versions.prompt_versions, name="prompt_versions"),
    path(f"{one}diff/", prompt_versions.prompt_diff, name="prompt_diff"),
    path(f"{one}v/<int:number>/", prompt_versions.prompt_version, name="prompt_version"),
    path(f"{one}v/<int:number>/restore/", prompt_versions.prompt_restore, name="prompt_restore"),
    path(f"{one}v/<int:number>/fork/", prompt_versions.prompt_fork, name="prompt_fork"),
    path(f"{one}v/<int:number>/review/", prompt_reviews.prompt_review, name="prompt_review"),
    path(f"{one}reviews/<int:review_id>/", prompt_reviews.prompt_verdict, name="prompt_verdict"),
    path(f"{one}labels/", prompt_labels.prompt_labels, name="prompt_labels"),
    path(f"{one}details/", prompt_details.prompt_details, name="prompt_details"),
    path(f"{one}archive/", prompt_details.prompt_archive, name="prompt_archive"),
]
