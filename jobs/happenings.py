"""What people did to data, runs and adapters, for whoever keeps a record of it: sent in the transaction of the act.

jobs does not know who listens (workspace writes the activity feed from it: workspace/apps.py). A signal, because what
is finished by a worker has no view that could record it, and jobs may not know the workspace's models.
"""

from __future__ import annotations

from typing import Any

from django.dispatch import Signal

happened = Signal()


def tell(thing: Any, verb: str, by: Any, *, note: str = "") -> None:
    """`by` is the id of the person who did it or asked for it; what nobody stands for any more is not told."""
    if by is not None:
        happened.send(sender=type(thing), thing=thing, verb=verb, by=by, note=note)
