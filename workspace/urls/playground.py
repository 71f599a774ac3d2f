"""Doors of the playground."""

from django.urls import path

from workspace.views import grid_cells, grid_columns, grid_inputs, playground

ONE = "t/<slug:team>/playground/<uuid:grid_id>/"

urlpatterns = [
    path("t/<slug:team>/playground/", playground.grids, name="grids"),
    path("t/<slug:team>/playground/new/", playground.grid_new, name="grid_new"),
    path("t/<slug:team>/playground/prompts/", grid_columns.grid_prompts, name="grid_prompts"),
    path("t/<slug:team>/playground/cells/<uuid:cell_id>/", grid_cells.cell, name="cell"),
    path(ONE, playground.grid, name="grid"),
    path(f"{ONE}progress/", playground.grid_progress, name="grid_progress"),
    path(f"{ONE}change/", playground.grid_change, name="grid_change"),
    path(f"{ONE}archive/", playground.grid_archive, name="grid_archive"),
    path(f"{ONE}copy/", playground.grid_copy, name="grid_copy"),
    path(f"{ONE}run/", playground.grid_run, name="grid_run"),
    path(f"{ONE}stop/", playground.grid_stop, name="grid_stop"),
    path(f"{ONE}columns/", grid_columns.grid_column_new, name="grid_column_new"),
    path(f"{ONE}columns/<uuid:column_id>/", grid_columns.grid_column, name="grid_column"),
    path(f"{ONE}inputs/", grid_inputs.grid_inputs, name="grid_inputs"),
    path(f"{ONE}inputs/table/", grid_inputs.grid_table, name="grid_table"),
    path(f"{ONE}inputs/dataset/", grid_inputs.grid_rows_of_dataset, name="grid_rows_of_dataset"),
    path(f"{ONE}inputs/<uuid:input_id>/", grid_inputs.grid_input, name="grid_input"),
    path(f"{ONE}rows/", grid_cells.grid_rows, name="grid_rows"),
    path(f"{ONE}vote/", grid_cells.grid_vote, name="grid_vote"),
    path(f"{ONE}collect/", grid_cells.grid_collect, name="grid_collect"),
    path(f"{ONE}cells/<uuid:cell_id>/", grid_cells.grid_cell, name="grid_cell"),
]
