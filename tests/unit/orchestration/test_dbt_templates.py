"""A template of dbt's is compiled once, and what a project needs is compiled before dbt comes to it."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from dbt_common.clients.jinja import MacroFuzzEnvironment, get_template, template_cache

from orchestration.dbt_templates import compile_ahead, compile_each_template_once


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """What was really compiled: by which kind of environment, and the text."""
    compiled: list[tuple[str, str]] = []
    compile_anew = MacroFuzzEnvironment.compile

    def counted(self: MacroFuzzEnvironment, source: str, *rest: Any, **named: Any) -> Any:
        compiled.append((type(self).__name__, source))
        return compile_anew(self, source, *rest, **named)

    monkeypatch.setattr(MacroFuzzEnvironment, "compile", counted)
    monkeypatch.setattr(template_cache, "file_cache", {})
    compile_each_template_once()
    return compiled


def rendered(text: str, native: bool = False, **context: Any) -> Any:
    return get_template(text, context, native=native).render(context)


def test_a_text_is_compiled_once_and_rendered_with_what_each_asks_for(compiled: list[tuple[str, str]]) -> None:
    assert [rendered("{{ week }} {{ word }}", week=week, word="of") for week in (1, 2)] == ["1 of", "2 of"]
    assert compiled == [("MacroFuzzEnvironment", "{{ week }} {{ word }}")]


def test_what_gives_values_is_not_taken_for_what_gives_texts(compiled: list[tuple[str, str]]) -> None:
    assert (rendered("{{ week }}", week=1), rendered("{{ week }}", native=True, week=1)) == ("1", 1)
    assert [kind for kind, _ in compiled] == ["MacroFuzzEnvironment", "NativeSandboxEnvironment"]


def test_what_does_not_compile_fails_each_time(compiled: list[tuple[str, str]]) -> None:
    for _ in range(2):
        with pytest.raises(Exception, match="unexpected '}'"):
            rendered("{{ week }")
    assert len(compiled) == 2


def test_models_macros_they_call_and_materializations_are_compiled_ahead(compiled: list[tuple[str, str]]) -> None:
    def macro(name: str, *called: str, package: str = "ours") -> tuple[str, SimpleNamespace]:
        depends_on = SimpleNamespace(macros=list(called))
        sql = f"{{% macro {name}() %}}{name}{{% endmacro %}}"
        return f"macro.{package}.{name}", SimpleNamespace(
            name=name, package_name=package, macro_sql=sql, depends_on=depends_on
        )

    macros = dict(
        [
            macro("called", "macro.ours.called_by_it", "macro.elsewhere.gone"),
            macro("called_by_it", "macro.ours.called"),
            macro("materialization_table_duckdb", "macro.dbt.hooks"),
            macro("hooks", package="dbt"),
            macro("materialization_seed_default", package="dbt"),
            macro("nobody_calls"),
        ]
    )
    nothing = SimpleNamespace(macros=[])
    nodes = {
        "model": SimpleNamespace(
            language="sql", raw_code="select {{ called() }}", depends_on=SimpleNamespace(macros=["macro.ours.called"])
        ),
        "in python": SimpleNamespace(language="python", raw_code="{% no template", depends_on=nothing),
    }
    manifest = SimpleNamespace(nodes=nodes, macros=macros, metadata=SimpleNamespace(project_name="ours"))
    compile_ahead(manifest)
    wanted = {"called", "called_by_it", "materialization_table_duckdb", "hooks"}
    named = {macro.name for macro in macros.values() if macro.macro_sql in {text for _, text in compiled}}
    assert named == wanted
    assert len(compiled) == len(wanted) + 1
    assert rendered("select {{ called() }}", called=lambda: "one") == "select one"
    assert len(compiled) == len(wanted) + 1, "it was there already"
