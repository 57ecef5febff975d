"""Nothing leaves that the gate did not seal: every way around it that Python offers is closed, and the imports are
read."""

import ast
import copy
import pickle
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from activation.sync.engine import sync
from activation.sync.gated import (
    Batch,
    GatedAudience,
    GateDecision,
    NotGated,
    require_batch,
    require_gated,
    seal_audience,
    seal_batch,
)
from activation.sync.protocol import Operation, Row
from tests.unit.activation.sync.scripted import FakeClock, ScriptedDestination, Vendor, gated

PROJECT = Path(__file__).resolve().parents[4]


@pytest.fixture
def warehouse() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def test_a_sealed_audience_is_let_through(warehouse):
    audience = gated(warehouse, ["a@example.com"])
    assert require_gated(audience, "newsletter") is audience


@pytest.mark.parametrize("cls", [GatedAudience, Batch])
def test_nobody_constructs_one(cls):
    with pytest.raises(NotGated):
        cls()
    with pytest.raises(NotGated):
        cls(object())
    forged = object.__new__(cls)
    with pytest.raises(NotGated):
        require_gated(forged, "newsletter") if cls is GatedAudience else require_batch(forged)


def test_a_copy_a_pickle_a_look_alike_and_a_subclass_are_refused(warehouse):
    audience = gated(warehouse, ["a@example.com"])
    with pytest.raises(NotGated):
        copy.copy(audience)
    with pytest.raises(NotGated):
        copy.deepcopy(audience)
    with pytest.raises(NotGated):
        pickle.dumps(audience)
    with pytest.raises(NotGated):
        require_gated(SimpleNamespace(destination="newsletter", relation="people"), "newsletter")
    with pytest.raises(TypeError):
        type("Mine", (GatedAudience,), {})


def test_what_is_sealed_does_not_change(warehouse):
    audience = gated(warehouse, ["a@example.com"])
    with pytest.raises(AttributeError):
        audience.relation = "everybody"


def test_an_audience_for_another_destination_is_refused(warehouse):
    with pytest.raises(NotGated, match="approved for newsletter"):
        require_gated(gated(warehouse, ["a@example.com"]), "advertising")


def test_the_engine_sends_nothing_of_what_was_not_sealed(warehouse):
    vendor = Vendor()
    with pytest.raises(NotGated):
        sync(warehouse, ScriptedDestination(vendor), [SimpleNamespace(destination="newsletter")], clock=FakeClock())  # type: ignore[list-item]
    assert vendor.calls == []


@pytest.mark.parametrize(
    "change",
    [
        "insert into approved_loyal values ('mallory@example.com', 'loyal', 1.0)",
        "update approved_loyal set identifier = 'mallory@example.com'",
        "update approved_loyal set persona = 'other'",
        "delete from approved_loyal",
        "alter table approved_loyal drop column persona",
        "drop table approved_loyal",
    ],
)
def test_a_relation_that_changed_after_the_gate_is_not_sent(warehouse, change):
    audience = gated(warehouse, ["a@example.com"])
    warehouse.execute(change)
    vendor = Vendor()
    result = sync(warehouse, ScriptedDestination(vendor), [audience], clock=FakeClock(), channels=())
    assert result.state == "blocked"
    assert vendor.calls == ["suppressions"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"decision": GateDecision(3, 1, {"no consent": 1})},
        {"decision": GateDecision(2, 2)},
        {"purpose": " "},
        {"channel": ""},
        {"segment": ""},
        {"relation": "nowhere"},
    ],
)
def test_the_gates_counts_and_names_are_checked(warehouse, wrong):
    audience = gated(warehouse, ["a@example.com"])
    stated = {name: getattr(audience, name) for name in GatedAudience.__slots__ if name != "fingerprint"}
    with pytest.raises(NotGated):
        seal_audience(warehouse, **{**stated, **wrong})


def test_a_batch_is_made_by_the_engine():
    batch = seal_batch("1", Operation.JOIN, "loyal", [Row("k", "a@example.com")])
    assert require_batch(batch) is batch
    with pytest.raises(AttributeError):
        batch.rows = ()


@pytest.mark.parametrize(
    ("name", "allowed"), [("seal_audience", {"activation/gate.py"}), ("seal_batch", {"activation/sync/engine.py"})]
)
def test_only_the_gate_and_the_engine_seal(name, allowed):
    """Reads every module of the project; the attribute form and the bare string count too."""
    found = set()
    for package in ("activation", "orchestration", "ml", "data_contracts", "examples"):
        for path in (PROJECT / package).rglob("*.py"):
            module = path.relative_to(PROJECT).as_posix()
            if module == "activation/sync/gated.py":
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = (
                    [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom | ast.Import) else []
                ) + ([node.attr] if isinstance(node, ast.Attribute) else [])
                names += [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
                if {name, "_TOKEN", "_sealed"} & {str(one) for one in names}:
                    found.add(module)
    assert found <= allowed
