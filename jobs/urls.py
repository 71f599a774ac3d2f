"""Doors of the work: data, fine-tunes, models. All under t/<team>/."""

from django.urls import path

from jobs.views import datasets, finetunes, imports, models, runs

data = [
    path("data/", datasets.datasets, name="datasets"),
    path("data/upload/", imports.upload, name="upload"),
    path("data/files/<uuid:file_id>/", imports.import_new, name="import_new"),
    path("data/files/<uuid:file_id>/import/", imports.import_start, name="import_start"),
    path("data/imports/<uuid:import_id>/", imports.import_page, name="import"),
    path("data/imports/<uuid:import_id>/cancel/", imports.import_cancel, name="import_cancel"),
    path("data/imports/<uuid:import_id>/again/", imports.import_again, name="import_again"),
    path("data/<uuid:dataset_id>/", datasets.dataset, name="dataset"),
    path("data/<uuid:dataset_id>/rows/", datasets.dataset_rows, name="dataset_rows"),
    path("data/<uuid:dataset_id>/row/<int:position>/", datasets.dataset_row, name="dataset_row"),
    path("data/<uuid:dataset_id>/quality/", datasets.dataset_quality, name="dataset_quality"),
    path("data/<uuid:dataset_id>/archive/", datasets.dataset_archive, name="dataset_archive"),
    path("data/<uuid:dataset_id>/download/", datasets.dataset_download, name="dataset_download"),
]

finetuning = [
    path("finetunes/", finetunes.finetunes, name="finetunes"),
    path("finetunes/new/", finetunes.finetune_new, name="finetune_new"),
    path("finetunes/check/", finetunes.finetune_check, name="finetune_check"),
    path("finetunes/tokens/", finetunes.finetune_tokens, name="finetune_tokens"),
    path("finetunes/<uuid:finetune_id>/", runs.finetune, name="finetune"),
    path("finetunes/<uuid:finetune_id>/progress/", runs.finetune_progress, name="finetune_progress"),
    path("finetunes/<uuid:finetune_id>/points/", runs.finetune_points, name="finetune_points"),
    path("finetunes/<uuid:finetune_id>/samples/", runs.finetune_samples, name="finetune_samples"),
    path("finetunes/<uuid:finetune_id>/log/", runs.finetune_log, name="finetune_log"),
    path("finetunes/<uuid:finetune_id>/cancel/", runs.finetune_cancel, name="finetune_cancel"),
    path("finetunes/<uuid:finetune_id>/stop/", runs.finetune_stop, name="finetune_stop"),
]

catalogue = [
    path("models/", models.models, name="models"),
    path("models/new/", models.model_new, name="model_new"),
    path("models/<int:model_id>/remove/", models.model_remove, name="model_remove"),
    path("models/<int:model_id>/change/", models.model_change, name="model_change"),
    path("models/adapters/<uuid:adapter_id>/archive/", models.adapter_archive, name="adapter_archive"),
    path("models/adapters/<uuid:adapter_id>/download/", models.adapter_download, name="adapter_download"),
]

urlpatterns = [*data, *finetuning, *catalogue]
