"""Work that runs elsewhere and what it leaves behind, one module per noun."""

from jobs.ml.config import ConfigError  # what a Generation refuses
from jobs.models.catalogue import Adapter, LanguageModel
from jobs.models.dataset import Dataset, Import, Row, Split, StoredFile
from jobs.models.finetune import Checkpoint, FineTune, MetricPoint, RunEvent, SampleAnswer
from jobs.models.generation import Generation
from jobs.models.lifecycle import Cause, Job, LeaseLost, State
from jobs.models.mail import Mail
from jobs.models.worker import Worker

__all__ = [
    "Adapter",
    "Cause",
    "Checkpoint",
    "ConfigError",
    "Dataset",
    "FineTune",
    "Generation",
    "Import",
    "Job",
    "LanguageModel",
    "LeaseLost",
    "Mail",
    "MetricPoint",
    "Row",
    "RunEvent",
    "SampleAnswer",
    "Split",
    "State",
    "StoredFile",
    "Worker",
]
