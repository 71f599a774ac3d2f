"""What the tags of the frame write: icons and moments."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.template import Context, Template, TemplateSyntaxError
from django.utils import timezone

from workspace.models import Team, User
from workspace.models.comments import OpenThreads


def drawn(template: str, **values: object) -> str:
    return Template("{% load studio %}" + template).render(Context(values))


def test_an_icon_is_decoration_unless_it_has_a_label() -> None:
    assert 'aria-hidden="true"' in drawn('{% icon "plus" %}') and "#plus" in drawn('{% icon "plus" %}')
    assert 'role="img" aria-label="Add"' in drawn('{% icon "plus" "Add" %}')


def test_an_icon_may_be_named_by_the_page() -> None:
    assert drawn("{% icon name label %}", name="x", label="Close") == drawn('{% icon "x" "Close" %}')
    with pytest.raises(TemplateSyntaxError):
        drawn("{% icon %}")


def test_a_moment_says_how_long_ago_and_holds_exactly_when() -> None:
    moment = timezone.now() - timedelta(hours=3)
    assert drawn("{{ moment|timed }}", moment=moment) == f'<time datetime="{moment.isoformat()}">3 h</time>'
    assert drawn('{{ moment|timed:"since" }}', moment=moment).endswith(">3 h ago</time>")


@pytest.mark.django_db
def test_the_buttons_of_two_objects_are_each_their_own(alice: User) -> None:
    team = Team.found("My id- -id- team", alice)
    template = '{% load together %}{% comments "row" 7 counts=counts %}{% comments "row" "<9>" part=2 counts=counts %}'
    counts = OpenThreads([("7", None, 3)])
    first, second = Template(template).render(Context({"team": team, "counts": counts})).split("</button>")[:2]
    assert (
        f'data-comments="row:7" data-url="/t/{team.slug}/comments/on/row/7/"' in first and "Comments: 3 open" in first
    )
    assert 'data-comments="row:&lt;9&gt;" data-part="2"' in second and "/row/&lt;9&gt;/?part=2" in second
