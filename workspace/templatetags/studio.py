"""Template tags of the frame: icons, the keys under which its parts are kept, and the ways we write numbers and durations."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django import template
from django.template import Context, Node, TemplateSyntaxError, Variable
from django.template.base import FilterExpression, Parser, TextNode, Token
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.tag("icon")
def icon_tag(parser: Parser, token: Token) -> Node:
    """{% icon "plus" %} or {% icon "plus" "Add" %}. One that is spelled out is drawn when the template is read: it is plain
    text from then on, which a list of hundreds notices."""
    words = [parser.compile_filter(bit) for bit in token.split_contents()[1:]]
    if not 1 <= len(words) <= 2:
        raise TemplateSyntaxError("icon takes a name, and a label if it is no decoration")
    if any(isinstance(word.var, Variable) for word in words):
        return Icon(words)
    return TextNode(icon(*(str(word.var) for word in words)))


class Icon(Node):
    """One whose name or label is known only where it is drawn."""

    def __init__(self, words: list[FilterExpression]) -> None:
        self.words = words

    def render(self, context: Context) -> SafeString:
        return icon(*(word.resolve(context) for word in self.words))


@lru_cache(maxsize=512)  # the sprite's address stays the same
def icon(name: str, label: str = "") -> SafeString:
    """A Lucide icon from the sprite. Without a label it is decoration and hidden from screen readers."""
    href = f"{static('vendor/lucide-1.62.0.svg')}#{name}"
    if label:
        return format_html('<svg class="icon" role="img" aria-label="{}"><use href="{}"></use></svg>', label, href)
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}"></use></svg>', href)


@register.simple_tag(takes_context=True)
def rail_key(context: dict[str, Any]) -> tuple[Any, ...] | None:
    """Names the drawing of the rail for `kept`: where one is, who one is, and where else one could be."""
    request, team = context["request"], context.get("team")
    teams = getattr(request, "my_teams", None)
    if team is None or teams is None:
        return None
    others = tuple((other.slug, str(other)) for other in teams)
    return ("rail", request.resolver_match.view_name, team.slug, others, str(request.user))


@register.simple_tag(takes_context=True)
def places_key(context: dict[str, Any]) -> tuple[Any, ...] | None:
    team = context.get("team")
    return team and ("places", team.slug, context["may_edit"])


@register.filter
def duration(seconds: float | timedelta | None) -> str:
    """6 min 20 s; 2 h 5 min; 0.8 s."""
    if seconds is None:
        return "–"
    value = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {secs} s" if minutes else f"{secs} s"


@register.filter
def ago(moment: datetime | None) -> str:
    """now; 5 min; 3 h; 2 d; then the date. Short, for lists; the exact time is in the element's title."""
    if moment is None:
        return "–"
    seconds = (timezone.now() - moment).total_seconds()
    for limit, size, unit in ((60, 1, ""), (3600, 60, "min"), (86_400, 3600, "h"), (604_800, 86_400, "d")):
        if seconds < limit:
            return f"{int(seconds // size)} {unit}" if unit else "now"
    return date_format(timezone.localtime(moment), "j M Y")


@register.filter
def since(moment: datetime | None) -> str:
    """The same inside a sentence: just now; 5 min ago; on 3 Nov 2025."""
    said = ago(moment)
    if said in {"now", "–"}:
        return "just now" if said == "now" else said
    return f"{said} ago" if said.endswith((" min", " h", " d")) else f"on {said}"


@register.filter
def timed(moment: datetime, words: str = "ago") -> SafeString:
    """A <time> that says when it was, as `ago` or `since` does, and holds the exact moment. One step for lists."""
    said = since(moment) if words == "since" else ago(moment)
    return format_html('<time datetime="{}">{}</time>', timezone.localtime(moment).isoformat(), said)


@register.filter
def filesize(number: float | None) -> str:
    """1.4 GB, in powers of ten, as disks and downloads are sold."""
    if number is None:
        return "–"
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit in ("B", "kB") else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


@register.filter
def compact(number: float | None) -> str:
    """135M, 1.7B, 8,192."""
    if number is None:
        return "–"
    for limit, unit in ((1e9, "B"), (1e6, "M")):
        if abs(number) >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:,.0f}"
