"""Doors of few-shot example sets."""

from django.urls import path

from workspace.views import example_changes as changes
from workspace.views import example_keep as keeping
from workspace.views import examples, leave_one_out

a_set = "t/<slug:team>/examples/<uuid:set_id>/"

urlpatterns = [
    path("t/<slug:team>/examples/", examples.example_sets, name="example_sets"),
    path("t/<slug:team>/examples/new/", changes.example_set_new, name="example_set_new"),
    path("t/<slug:team>/examples/keep/", keeping.example_keep, name="example_keep"),
    path(a_set, examples.example_set, name="example_set"),
    path(f"{a_set}save/", changes.example_set_save, name="example_set_save"),
    path(f"{a_set}change/", changes.example_set_change, name="example_set_change"),
    path(f"{a_set}archive/", changes.example_set_archive, name="example_set_archive"),
    path(f"{a_set}history/", examples.example_set_history, name="example_set_history"),
    path(f"{a_set}restore/<int:number>/", changes.example_set_restore, name="example_set_restore"),
    path(f"{a_set}fields/", changes.example_fields, name="example_fields"),
    path(f"{a_set}paste/", changes.example_paste, name="example_paste"),
    path(f"{a_set}preview/", examples.example_preview, name="example_preview"),
    path(f"{a_set}use/", changes.example_use, name="example_use"),
    path(f"{a_set}<uuid:example_id>/rate/", changes.example_rate, name="example_rate"),
    path(f"{a_set}<uuid:example_id>/source/", examples.example_source, name="example_source"),
    path(f"{a_set}leave-one-out/", leave_one_out.leave_one_out_new, name="leave_one_out_new"),
    path("t/<slug:team>/leave-one-out/<uuid:grid_id>/", leave_one_out.leave_one_out, name="leave_one_out"),
]
