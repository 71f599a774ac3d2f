"""Reading YAML and JSON from strangers: within bounds of size, depth and aliases, and into plain JSON values only.

A YAML file of a kilobyte can say "ten of the above" ten times over; its size is counted before anything is built.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import yaml

from jobs.texts import storable
from workspace.interchange.drafts import MAX_BYTES, Refused

MAX_DEPTH = 40
MAX_NODES = 200_000  # with every alias written out
MAX_ALIASES = 200

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PlainLoader(_Loader):  # type: ignore[misc]
    """Safe, and dates stay the text they are."""

    yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _Loader.yaml_implicit_resolvers.items()
    }


class PlainDumper(yaml.SafeDumper):
    """Long texts as blocks, in the order given, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


PlainDumper.add_representer(str, _text)


def check_size(text: str) -> None:
    if (size := len(text.encode("utf-8", "ignore"))) > MAX_BYTES:
        raise Refused(
            f"It has {size / 2**20:.1f} MiB; at most {MAX_BYTES // 2**20} MiB are taken in at once. Split it."
        )


def load_yaml(text: str) -> Any:
    """Raises Refused, with the line where it can be told."""
    check_size(text)
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", text)
    try:
        _count(text)
        loader = PlainLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _written_out(node)
            return plain(loader.construct_document(node))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f" in line {mark.line + 1}" if mark else ""
        raise Refused(f"It is not readable YAML{at}: {error.problem or error.context}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(f"It is not readable YAML: {str(error)[:200]}") from None


def _count(text: str) -> None:
    """A first pass that builds nothing."""
    depth = aliases = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise Refused(f"The YAML is nested more than {MAX_DEPTH} levels deep.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            if aliases > MAX_ALIASES:
                raise Refused(f"The YAML has more than {MAX_ALIASES} aliases.")


def _written_out(root: Any) -> None:
    """How many nodes there are once every alias is written out, without writing them out."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(node: Any) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1 + len(node.value) // 100
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_:
            raise Refused("The YAML contains itself.")
        open_.add(id(node))
        inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        total = 1 + sum(size(part) for part in inner)
        open_.discard(id(node))
        sizes[id(node)] = total
        if total > MAX_NODES:
            raise Refused(f"The YAML has more than {MAX_NODES:,} values once its aliases are written out.")
        return total

    size(root)


def load_json(text: str) -> Any:
    """Raises Refused."""
    check_size(text)
    try:
        return plain(json.loads(text))
    except RecursionError:
        raise Refused("The JSON is nested too deeply.") from None
    except ValueError as error:
        if isinstance(error, Refused):
            raise
        raise Refused(f"It is not readable JSON: {error}") from None


def plain(value: Any, depth: int = 0) -> Any:
    """Only what JSON and the database can hold. Raises Refused for the rest."""
    if depth > MAX_DEPTH:
        raise Refused(f"It is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, dict):
        return {str(plain(key)): plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner, depth + 1) for inner in value]
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(f"{value} is not a number that can be kept.")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise Refused(f"It holds a value of the kind {type(value).__name__}, which cannot be kept.")


FRONT = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(?P<front>.*?)(?:\r?\n)?^---[ \t]*(?:\r?\n|\Z)", re.S | re.M)


def front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The YAML between the first two lines of dashes, and the body. Without one it is all body. Raises Refused."""
    found = FRONT.match(text)
    if not found:
        return {}, text
    front = load_yaml(found["front"])
    if front is None:
        front = {}
    if not isinstance(front, dict):
        raise Refused("The part between the lines --- is not a list of names and values.")
    return front, text[found.end() :]


def dump_yaml(value: Any) -> str:
    return str(yaml.dump(value, Dumper=PlainDumper, sort_keys=False, allow_unicode=True, width=110))


def comment(lines: list[str]) -> str:
    """Lines for the head of a YAML file; what is there twice is said once."""
    return "".join(f"# {' '.join(line.split())}\n" for line in dict.fromkeys(lines))
