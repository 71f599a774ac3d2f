"""Doors of few-shot example sets."""

from django.urls import path

from workspace.views import examples

urlpatterns = [
    path("t/<slug:team>/examples/", examples.example_sets, name="example_sets"),
    path("t/<slug:team>/examples/<uuid:set_id>/", examples.example_set, name="example_set"),
]
