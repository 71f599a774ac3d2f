"""Doors of the library: star and acts on many prompts; taking prompts in and out."""

from django.urls import path

from workspace.views import interchange, prompt_list

urlpatterns = [
    path("t/<slug:team>/prompts/import/", interchange.prompt_import, name="prompt_import"),
    path("t/<slug:team>/prompts/export/", interchange.prompt_export, name="prompt_export"),
    path("t/<slug:team>/prompts/act/", prompt_list.prompts_act, name="prompts_act"),
    path("t/<slug:team>/prompts/starters/", prompt_list.prompt_starters, name="prompt_starters"),
    path("t/<slug:team>/prompts/<uuid:prompt_id>/favourite/", prompt_list.prompt_favourite, name="prompt_favourite"),
]
