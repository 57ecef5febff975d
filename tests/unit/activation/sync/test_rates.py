"""Windows are never exceeded and nearly used up; pauses a vendor asks for are kept; backoff ends at a deadline."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from activation.sync.protocol import OutOfTime, Refused, Retryable, Window
from activation.sync.rates import BACKOFF_CAP_SECONDS, Pacer, retry_after_seconds
from tests.unit.activation.sync.scripted import FakeClock

KLAVIYO = (Window(10, 1.0), Window(150, 60.0))


def times_of_calls(windows: tuple[Window, ...], calls: int) -> list[float]:
    clock = FakeClock()
    pacer = Pacer({"*": windows}, clock)
    times: list[float] = []
    for _ in range(calls):
        pacer.call("any", lambda: times.append(clock.monotonic()))
    return times


@pytest.mark.parametrize(
    ("windows", "calls"),
    [
        (KLAVIYO, 1500),
        ((Window(3, 1.0), Window(60, 60.0)), 600),
        ((Window(190, 10.0),), 5000),
        ((Window(75, 1.0), Window(750, 60.0)), 7500),
    ],
)
def test_no_window_of_any_alignment_sees_more_than_it_allows_and_nine_tenths_are_used(windows, calls):
    times = times_of_calls(windows, calls)
    for window in windows:
        for earlier, later in zip(times, times[window.calls :], strict=False):
            assert later - earlier >= window.seconds - 1e-9
    slowest = min(window.calls / window.seconds for window in windows)
    used = calls / (times[-1] + 1 / slowest)
    print(f"{windows}: {100 * used / slowest:.0f} % of the allowed rate used")
    assert used >= 0.9 * slowest


def test_calls_that_take_their_time_use_the_rate_all_the_same():
    pacer = Pacer({"*": (Window(40, 1.0),)})
    began = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: pacer.call("any", lambda: time.sleep(0.05)), range(100)))
    assert 2.0 <= time.monotonic() - began <= 2.0 / 0.9 + 0.6


def test_a_daily_window_that_is_used_up_does_not_block_for_a_day():
    pacer = Pacer({"create_list": (Window(2, 86_400),)}, FakeClock(), deadline_seconds=60)
    for _ in range(2):
        pacer.call("create_list", lambda: None)
    with pytest.raises(OutOfTime):
        pacer.call("create_list", lambda: None)


def test_retry_after_in_seconds_is_waited():
    clock = FakeClock()
    tries: list[float] = []

    def call() -> str:
        tries.append(clock.monotonic())
        if len(tries) < 3:
            raise Retryable("slow down", 429, retry_after=20, may_have_happened=False)
        return "done"

    assert Pacer({}, clock).call("any", call) == "done"
    assert tries[1] >= 20 and tries[2] >= 40


def test_everybody_waits_when_one_is_told_to_slow_down():
    clock = FakeClock()
    pacer = Pacer({"*": (Window(10, 1.0),)}, clock)
    answers = iter([Retryable("slow down", 429, retry_after=30)])

    def call() -> None:
        error = next(answers, None)
        if error:
            raise error

    pacer.call("any", call)
    assert clock.monotonic() >= 30


def test_without_a_wish_of_the_vendors_the_pause_is_drawn_from_a_doubling_span():
    pacer = Pacer({}, FakeClock(), seed=4)
    pauses = [[pacer.pause_after(Retryable("it broke", 500), attempt) for _ in range(300)] for attempt in range(9)]
    for attempt, drawn in enumerate(pauses):
        span = min(BACKOFF_CAP_SECONDS, 2.0**attempt)
        assert min(drawn) >= 0 and max(drawn) <= span
        assert max(drawn) > 0.8 * span and min(drawn) < 0.2 * span


def test_retrying_ends_at_the_deadline():
    clock = FakeClock()

    def call() -> None:
        raise Retryable("it broke", 503)

    with pytest.raises(OutOfTime):
        Pacer({}, clock, deadline_seconds=100, seed=1).call("any", call)
    assert clock.monotonic() <= 100


def test_what_will_never_succeed_is_not_retried():
    pacer = Pacer({}, FakeClock())

    def call() -> None:
        raise Refused("no", 400)

    with pytest.raises(Refused):
        pacer.call("any", call)
    assert pacer.calls["any"] == 1


NOW = datetime(2026, 11, 16, 6, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("-3", 0.0),
        ("Mon, 16 Nov 2026 06:00:30 GMT", 30.0),
        ("Mon, 16 Nov 2026 05:00:00 GMT", 0.0),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read(header, seconds):
    assert retry_after_seconds(header, None, NOW) == seconds


@pytest.mark.parametrize("skew", [timedelta(hours=-5), timedelta(), timedelta(days=2)])
def test_a_date_is_counted_from_the_answers_own_clock(skew):
    wait = retry_after_seconds("Mon, 16 Nov 2026 06:00:30 GMT", "Mon, 16 Nov 2026 06:00:00 GMT", NOW + skew)
    assert wait == 30.0
