"""Doors of the playground."""

from django.urls import path

from workspace.views import playground

urlpatterns = [
    path("t/<slug:team>/playground/", playground.grids, name="grids"),
    path("t/<slug:team>/playground/<uuid:grid_id>/", playground.grid, name="grid"),
]
