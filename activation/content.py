"""Texts that go out with an audience: templates with placeholders, each a mapped field with a default.

Here belong what a template may contain, its check, and filling it in. Templates are Jinja2 in a sandbox, cut down to
what a text needs: placeholders, filters that change text, conditions and comments. Nothing is called, looked up or
looped over, so a template can neither reach anything nor take long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import polars as pl
from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from activation.audience import ContentBlock
from activation.selection import Complaint

FILTERS = (
    "capitalize",
    "default",
    "escape",
    "int",
    "length",
    "lower",
    "replace",
    "round",
    "title",
    "trim",
    "truncate",
    "upper",
)
LONGEST_TEXT = 100_000

_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Filter,
    nodes.Keyword,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Concat,
    nodes.Neg,
)
_IN_WORDS = {
    nodes.For: "a loop",
    nodes.Call: "a call",
    nodes.Getattr: "a look into a value (a point)",
    nodes.Getitem: "a look into a value (brackets)",
    nodes.Include: "`include`",
    nodes.Import: "`import`",
    nodes.FromImport: "`import`",
    nodes.Extends: "`extends`",
    nodes.Macro: "a macro",
    nodes.Assign: "`set`",
}


@dataclass(frozen=True)
class Template:
    """A template that was checked: its text, its placeholders in order of name, and a default for each."""

    text: str
    placeholders: tuple[str, ...]
    defaults: Mapping[str, str]
    format: str = "text"


def read_template(text: str, block: ContentBlock) -> Template:
    """The template of a block, whose text may have come from a file."""
    tree = _environment(block.format).parse(text)
    return Template(text, tuple(sorted(_placeholders(tree))), dict(block.defaults), block.format)


def template_complaints(text: str, block: ContentBlock, fields: Collection[str]) -> Iterator[Complaint]:
    """What is wrong with a template.

    Args:
        text: The template.
        block: Its format and defaults.
        fields: The fields that go out, which placeholders may name.

    Yields:
        Each thing, located from the block down.
    """
    try:
        tree = _environment(block.format).parse(text)
    except TemplateSyntaxError as error:
        yield Complaint(("template",), f"line {error.lineno} of the template: {error.message}")
        return
    for node in _all_nodes(tree):
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            yield Complaint(
                ("template",),
                f"line {node.lineno} of the template: there is no filter '{node.name}'",
                node.name,
                FILTERS,
            )
        elif not isinstance(node, _ALLOWED):
            what = _IN_WORDS.get(type(node), f"`{type(node).__name__.lower()}`")
            yield Complaint(("template",), f"line {node.lineno} of the template: {what} is not allowed")
    names = sorted(_placeholders(tree))
    for name in names:
        if name not in fields:
            yield Complaint(("template",), f"'{name}' is no field that goes out", name, tuple(sorted(fields)))
        elif name not in block.defaults:
            yield Complaint(
                ("defaults",),
                f"'{name}' needs a default, for people of whom it is not known: `defaults: {{{name}: ...}}`",
            )
    for name in block.defaults:
        if name not in names:
            yield Complaint(("defaults", name), f"'{name}' is no placeholder of the template", name, tuple(names))


def fill_in(template: Template, values: Mapping[str, object]) -> str:
    """The text for one person; what is null or empty is the default."""
    return _renderer(template)(values)


def filled_in(template: Template, people: pl.DataFrame) -> pl.Series:
    """The text for many: each distinct set of values is filled in once.

    Args:
        template: A template that was checked.
        people: A column per placeholder.
    """
    render = _renderer(template)
    if not template.placeholders:
        return pl.Series([render({})] * people.height, dtype=pl.String)
    needed = people.select(template.placeholders)
    distinct = needed.unique(maintain_order=True)
    texts = pl.Series("__text", [render(row) for row in distinct.iter_rows(named=True)], dtype=pl.String)
    joined = needed.join(
        distinct.with_columns(texts),
        on=list(template.placeholders),
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    return joined["__text"]


def _renderer(template: Template) -> Callable[[Mapping[str, object]], str]:
    compiled = _environment(template.format).from_string(template.text)

    def render(values: Mapping[str, object]) -> str:
        known = {
            name: values[name] if values.get(name) not in (None, "") else template.defaults[name]
            for name in template.placeholders
        }
        return compiled.render(known)[:LONGEST_TEXT]

    return render


def _environment(format_: str) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        autoescape=format_ == "html", undefined=StrictUndefined, keep_trailing_newline=False
    )
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in FILTERS}
    return environment


def _all_nodes(tree: nodes.Node) -> Iterator[nodes.Node]:
    yield tree
    for child in tree.iter_child_nodes():
        yield from _all_nodes(child)


def _placeholders(tree: nodes.Node) -> set[str]:
    return {node.name for node in tree.find_all(nodes.Name)}
