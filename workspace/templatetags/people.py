"""Template tags of the pages about people: form fields as we draw them, and whether mail goes out."""

from __future__ import annotations

from django import template
from django.forms import BoundField
from django.utils.safestring import SafeString

from workspace.accounts import mail_works

register = template.Library()
register.simple_tag(mail_works)


@register.filter
def unprompted(field: BoundField) -> SafeString:
    """The field without allauth's placeholder, which repeats its label."""
    return field.as_widget(attrs={"placeholder": False})
