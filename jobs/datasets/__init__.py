"""Data sets: reading uploaded files into rows, splitting them, and writing them out for the trainer."""

from jobs.datasets.demo import create_demo
from jobs.datasets.export import write_rows
from jobs.datasets.imports import run_import

__all__ = ["create_demo", "run_import", "write_rows"]
