"""There is no path to a destination around the gate: who may seal is read off the code, each connector is tried."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import pickle
import pkgutil
from pathlib import Path

import pytest
from gate_world import World, audience, sealed

import activation.destinations
from activation.audiences import write_audience_files
from activation.sync.engine import sync
from activation.sync.gated import Batch, GatedAudience, NotGated
from activation.sync.protocol import Operation, Row

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("activation", "orchestration", "ml", "data_contracts", "examples")
MAY_CALL = {"seal_audience": "activation/gate.py", "seal_batch": "activation/sync/engine.py"}
HOME = "activation/sync/gated.py"


def modules():
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


@pytest.mark.parametrize("name", MAY_CALL)
def test_one_module_alone_can_seal(name):
    named = {
        str(path.relative_to(ROOT))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and node.id == name)
        or (isinstance(node, ast.Attribute) and node.attr == name)
        or (isinstance(node, ast.alias) and node.name == name)
        or (isinstance(node, ast.Constant) and node.value == name)
    }
    assert named - {HOME} == {MAY_CALL[name]}


def test_nothing_in_the_project_touches_what_seals():
    """`_TOKEN` and `_sealed` are the seal itself: only their home knows them."""
    for path in modules():
        if str(path.relative_to(ROOT)) == HOME:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("sync.gated"):
                assert not [one.name for one in node.names if one.name.startswith("_")], path
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("_TOKEN", "_sealed"), path


def connectors():
    """Every class of `activation/destinations` that carries out batches."""
    found = {}
    for module in pkgutil.walk_packages(activation.destinations.__path__, "activation.destinations."):
        for _, one in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if one.__module__ == module.name and callable(getattr(one, "apply", None)):
                found[f"{module.name}.{one.__name__}"] = one
    return found


def forged():
    """What somebody might try to send: people in a form that was never sealed."""
    rows = (Row("key", "p1@example.com", {}, "hash"),)

    class Imitation:
        id, operation, segment = "1", Operation.JOIN, "news"

    imitation = Imitation()
    imitation.rows = rows
    unsealed = object.__new__(Batch)
    for name, value in (("id", "1"), ("operation", Operation.JOIN), ("segment", "news"), ("rows", rows)):
        object.__setattr__(unsealed, name, value)
    return [rows, list(rows), {"rows": rows}, imitation, unsealed, None]


@pytest.mark.parametrize("name", sorted(connectors()))
def test_each_connector_refuses_what_the_gate_did_not_make(name):
    connector = object.__new__(connectors()[name])  # not connected to anything: it must refuse before it looks
    for one in forged():
        with pytest.raises(NotGated):
            connector.apply(one)


def test_the_check_stands_once_and_no_connector_replaces_it():
    assert [name for name, one in connectors().items() if "apply" in vars(one)] == [
        "activation.destinations.connector.Connector"
    ]


@pytest.fixture
def made():
    world = World().people("p1", "p2")
    gate = world.gate()
    gate.consider(audience("news"), "true")
    gate.judge()
    return world, sealed(world, gate)


def test_no_audience_is_made_by_hand_or_copied(made):
    _, one = made
    with pytest.raises(NotGated):
        GatedAudience()
    with pytest.raises((NotGated, TypeError)):
        GatedAudience(object(), destination="files", segment="news")
    for make in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(NotGated):
            make(one)
    with pytest.raises(AttributeError):
        one.destination = "elsewhere"
    with pytest.raises(TypeError):
        type("Mine", (GatedAudience,), {})


def test_the_engine_and_the_files_take_nothing_else(made, tmp_path):
    world, one = made

    class Destination:
        name = "files"

    unsealed = object.__new__(GatedAudience)
    for name in GatedAudience.__slots__:
        object.__setattr__(unsealed, name, getattr(one, name))
    for wrong in (unsealed, {"segment": "news"}, one.relation, None):
        with pytest.raises(NotGated):
            write_audience_files(world.connection, [wrong], tmp_path / "2026-11-09")
        with pytest.raises(NotGated):
            sync(world.connection, Destination(), [wrong])
    assert not list(tmp_path.iterdir())
