"""What dbt tells of itself while it works.

What belongs here: leaving out what no log keeps. dbt fires an event for each of its steps, some thousand in a run, and
makes a message of each, puts it into words, and those into JSON, before a log looks at its level: a tenth of a small
company's run.
"""

from __future__ import annotations

from typing import Any


def leave_out_what_no_log_keeps() -> None:
    """From now on events for those who look for faults in dbt are dropped at once, unless a log of this process keeps
    them (`--debug`, `--log-level debug`). All others are told as ever.
    """
    from dbt_common.events.base_types import BaseEvent, EventLevel  # noqa: PLC0415  (half a second; dbt's own process alone needs it)
    from dbt_common.events.event_manager import EventManager  # noqa: PLC0415

    for_faults = {EventLevel.DEBUG, EventLevel.TEST}
    fire_event = EventManager.fire_event

    def fire_what_is_kept(
        self: EventManager, e: BaseEvent, level: EventLevel | None = None, *rest: Any, **named: Any
    ) -> None:
        if (level or e.level_tag()) not in for_faults or any(log.level in for_faults for log in self.loggers):
            fire_event(self, e, level, *rest, **named)

    EventManager.fire_event = fire_what_is_kept  # type: ignore[method-assign]
    make_message, get_attribute = BaseEvent.__init__, BaseEvent.__getattr__

    def make_no_message_yet(self: BaseEvent, *given: Any, **named: Any) -> None:
        self.__dict__["made_of"] = given, named

    def get_of_message(self: BaseEvent, key: str) -> Any:
        made_of = self.__dict__.pop("made_of", None)
        if made_of is not None:  # whatever is asked for, its message is not there yet
            make_message(self, *made_of[0], **made_of[1])
        return get_attribute(self, key)

    BaseEvent.__init__ = make_no_message_yet  # type: ignore[method-assign]
    BaseEvent.__getattr__ = get_of_message  # type: ignore[method-assign]
