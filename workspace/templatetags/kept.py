"""{% kept key %} ... {% endkept %}: what was drawn before is not drawn again.

For parts of a page that are many and settled, as the turns of a chat are: drawing one takes 0.3 ms, and a chat of 40 is
drawn anew for each of its readers whenever something is said in it. The key must hold everything that the part shows, the
reader's rights included, for nothing is ever taken back: a change is another key. None: draw it. The reader's CSRF token is
no part of what is kept; it is put in anew each time. Kept in this process, the longest unused give way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from sys import getsizeof
from threading import Lock

from django import template
from django.template import Context, Node, NodeList, TemplateSyntaxError
from django.template.base import FilterExpression, Parser, Token
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

KEPT_BYTES = 32 * 2**20  # of drawings in one process
Pieces = list[str]  # what was drawn, cut where the token stood


class Drawn:
    """Safe for threads: pages are drawn in many."""

    def __init__(self) -> None:
        self.pieces: OrderedDict[Hashable, Pieces] = OrderedDict()
        self.size = 0
        self.lock = Lock()

    def get(self, key: Hashable) -> Pieces | None:
        with self.lock:
            if key in self.pieces:
                self.pieces.move_to_end(key)
            return self.pieces.get(key)

    def keep(self, key: Hashable, pieces: Pieces) -> None:
        with self.lock:
            if key not in self.pieces:
                self.pieces[key] = pieces
                self.size += sum(map(getsizeof, pieces))
            while self.size > KEPT_BYTES:
                _, oldest = self.pieces.popitem(last=False)
                self.size -= sum(map(getsizeof, oldest))


drawn = Drawn()


@register.tag
def kept(parser: Parser, token: Token) -> Kept:
    words = token.split_contents()
    if len(words) != 2:
        raise TemplateSyntaxError("kept takes one argument, the key")
    nodes = parser.parse(("endkept",))
    parser.delete_first_token()
    return Kept(parser.compile_filter(words[1]), nodes)


class Kept(Node):
    def __init__(self, key: FilterExpression, nodelist: NodeList) -> None:
        self.key, self.nodelist = key, nodelist

    def render(self, context: Context) -> SafeString:
        key = self.key.resolve(context)
        if key is None:
            return self.nodelist.render(context)
        csrf = str(context["csrf_token"])
        pieces = drawn.get(key)
        if pieces is None:
            pieces = self.nodelist.render(context).split(csrf)
            drawn.keep(key, pieces)
        return mark_safe(csrf.join(pieces))  # noqa: S308 - it was drawn by a template
