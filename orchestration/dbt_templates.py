"""The templates of dbt's project, each compiled once by a process and by all copies that are made of it.

What belongs here: what is remembered, and what is compiled ahead. dbt compiles the template of a model or a macro
whenever it comes to it; that is an eighth of the processor time of a small company's run.
"""

from __future__ import annotations

from types import CodeType
from typing import Any

# dbt finds a materialization by this and by its name in a model's settings: no model says that it depends on it.
MATERIALIZATION = "materialization_"


def compile_each_template_once() -> None:
    """From now on a template whose text was compiled before is not compiled again."""
    from dbt_common.clients import jinja  # noqa: PLC0415  (half a second; dbt's own process alone needs it)

    compile_anew = jinja.MacroFuzzEnvironment.compile
    if hasattr(compile_anew, "remembered"):
        return
    remembered: dict[tuple[type, str], CodeType] = {}

    def compile_once(self: jinja.MacroFuzzEnvironment, source: Any, *rest: Any, **named: Any) -> Any:
        # A text alone, as dbt gives it: all environments of a kind then make the same code of it.
        if rest or named or not isinstance(source, str) or jinja.MACRO_DEBUGGING:
            return compile_anew(self, source, *rest, **named)
        known = type(self), source
        if known not in remembered:
            remembered[known] = compile_anew(self, source)
        return remembered[known]

    compile_once.remembered = remembered  # type: ignore[attr-defined]
    jinja.MacroFuzzEnvironment.compile = compile_once  # type: ignore[method-assign, assignment]


def compile_ahead(manifest: Any) -> None:
    """Compile the templates of a project ahead, as dbt will when it comes to them: its models, its checks, the macros
    they call, and the materializations that make them.

    Args:
        manifest: dbt's.
    """
    from dbt_common.clients.jinja import get_environment, template_cache  # noqa: PLC0415

    environment = get_environment()
    project = manifest.metadata.project_name
    to_do = [
        name
        for name, macro in manifest.macros.items()
        if macro.package_name == project and macro.name.startswith(MATERIALIZATION)
    ]
    for node in manifest.nodes.values():
        if node.language == "sql":
            environment.compile(node.raw_code)
        to_do += node.depends_on.macros
    called = set()
    while to_do:
        name = to_do.pop()
        if name in called or name not in manifest.macros:
            continue
        called.add(name)
        macro = manifest.macros[name]
        template_cache.get_node_template(macro)
        to_do += macro.depends_on.macros
