from django.apps import AppConfig

from jobs import moments


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        moments.read_fast()
