"""How we write about runs (rough times, losses, shares) and the cells of a data row."""

from __future__ import annotations

from datetime import datetime
from html import escape

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString, mark_safe

from jobs.models import Row

register = template.Library()


@register.filter
def about(seconds: float | None) -> str:
    """A time that is only roughly known: 40 s, 6 min, 2 h 10 min."""
    if seconds is None:
        return "–"
    if seconds < 55:
        return f"{max(round(seconds / 5) * 5, 5)} s"
    minutes = max(round(seconds / 60), 1)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 600:
        return f"{minutes // 60} h {minutes % 60 // 10 * 10} min"
    return f"{round(minutes / 60)} h"


@register.filter
def loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


@register.filter
def percent(share: float | None) -> str:
    """12 %, 0.4 %, 0 %."""
    if share is None:
        return "–"
    value = share * 100
    return f"{value:.1f} %" if 0 < value < 1 else f"{value:.0f} %"


@register.filter
def since(moment: datetime | None) -> str:
    """Just now, 12 min ago, 5 h ago, 3 d ago, then the date."""
    if moment is None:
        return "–"
    seconds = (timezone.now() - moment).total_seconds()
    if seconds < 60:
        return "just now"
    for size, unit, limit in ((60, "min", 60), (3600, "h", 24), (86_400, "d", 30)):
        if seconds < size * limit:
            return f"{int(seconds // size)} {unit} ago"
    return date_format(moment, "j M Y")


CELLS = (
    '<td class="number"><button type="button" class="grid-open" data-open="%d" aria-label="Open row %s">%s</button></td>'
    '<td class="grid-split soft">%s</td><td><div class="clip">%s%s</div></td><td><div class="clip">%s</div></td>'
)
EARLIER = '<span class="chip">+%d</span> '
SHOWN = 300  # characters; a line that is clipped shows no more


@register.filter
def cells(row: Row) -> SafeString:
    """What a data set shows of a row. Formatted here and not by a template: a window has a hundred rows, and as twenty
    nodes each they were half of its time. What people wrote is escaped; the rest is numbers."""
    number = f"{row.position + 1:,}"
    return mark_safe(  # noqa: S308
        CELLS
        % (
            row.position, number, number, escape(row.split_name), EARLIER % row.earlier if row.earlier else "",
            escape(_beginning(row.prompt)), escape(_beginning(row.answer)),
        )
    )  # fmt: skip


def _beginning(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
