"""What no log of dbt keeps is dropped before it is put into words; everything else is told as ever."""

import io
from collections.abc import Iterator

import pytest
from dbt_common.events.base_types import BaseEvent, EventLevel, EventMsg
from dbt_common.events.event_manager import EventManager
from dbt_common.events.logger import LineFormat, LoggerConfig
from dbt_common.events.types import Note, SystemCouldNotWrite

from orchestration.dbt_events import leave_out_what_no_log_keeps

FOR_FAULTS = SystemCouldNotWrite(path="a file", reason="none", exc="none")


@pytest.fixture(autouse=True)
def left_out() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as as_before:
        for kind, name in ((EventManager, "fire_event"), (BaseEvent, "__init__"), (BaseEvent, "__getattr__")):
            as_before.setattr(kind, name, getattr(kind, name))
        leave_out_what_no_log_keeps()
        yield


class Told:
    """dbt's events with one log of each of these levels, and somebody who is called for each event."""

    def __init__(self, *levels: EventLevel) -> None:
        self.manager = EventManager()
        self.called: list[EventMsg] = []
        self.logs = [io.StringIO() for _ in levels]
        for level, log in zip(levels, self.logs, strict=True):
            self.manager.add_logger(
                LoggerConfig(
                    f"test_{level}", lambda _: True, lambda line: line, LineFormat.PlainText, level, output_stream=log
                )
            )
        self.manager.add_callback(self.called.append)

    def fire(self, event: BaseEvent, level: EventLevel | None = None) -> None:
        self.manager.fire_event(event, level)


def test_what_is_for_faults_is_not_even_put_into_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemCouldNotWrite, "message", lambda _: pytest.fail("put into words"))
    told = Told(EventLevel.INFO, EventLevel.WARN)
    told.fire(FOR_FAULTS)
    assert told.called == []


def test_of_what_is_dropped_no_message_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("dbt_common.events.base_types.ParseDict", lambda *_: pytest.fail("made a message"))
        dropped = SystemCouldNotWrite(path="a file", reason="none", exc="none")
        Told(EventLevel.INFO).fire(dropped)
    assert (dropped.path, dropped.reason) == ("a file", "none"), "who asks for it has it all the same"
    assert dropped.to_dict() == {"path": "a file", "reason": "none", "exc": "none"}


def test_a_log_for_faults_has_it() -> None:
    told = Told(EventLevel.INFO, EventLevel.DEBUG)
    told.fire(FOR_FAULTS)
    assert told.logs[0].getvalue() == ""
    assert "a file" in told.logs[1].getvalue()


def test_everything_else_is_told_to_logs_and_callbacks() -> None:
    told = Told(EventLevel.INFO, EventLevel.ERROR)
    for level in EventLevel:
        told.fire(Note(msg=f"at level {level.value}"), level)
    assert [event.info.level for event in told.called] == ["info", "warn", "error"]
    assert [line.split("  ")[-1] for line in told.logs[0].getvalue().splitlines()] == [
        "at level info",
        "at level warn",
        "at level error",
    ]
    assert told.logs[1].getvalue().splitlines()[-1].endswith("at level error")
