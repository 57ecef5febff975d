"""`make bench-tracking`: how well personas stay themselves, and how well definitions are met, as benchmarks/TRACKING.md.

What belongs here: which worlds are lived through, and the table that is written. What is measured stands in
`tracking_measures` and `defined_worlds`. The seeds are fixed, so the figures come out the same again.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.defined_worlds import measure_world
from benchmarks.persona_worlds import WorldSettings
from benchmarks.tracking_measures import OPEN_GATE, Tracked, track_world
from ml.persona_tracking import GateSettings

OUT = Path(__file__).with_name("TRACKING.md")
SAME = {"split": "birth", "merge": "death"}
WEEKLY, AS_CONFIGURED = {"refit_every": 1, "gate": OPEN_GATE}, {"refit_every": 4, "gate": GateSettings(), "k": (3, 8)}
SUITES = [
    ("weekly refits, number of personas given", WorldSettings(), WEEKLY, None),
    ("the same without hysteresis", WorldSettings(), WEEKLY, 1.0),
    ("the same, heavy tails and 5 % missing", WorldSettings(heavy_tails=True), WEEKLY, None),
    ("refit every 4 weeks, number chosen, gate on", WorldSettings(), AS_CONFIGURED, None),
]


HEAD = """# How well personas stay themselves

Written by `make bench-tracking`. Simulated companies of 2,000 people over 26 weeks (`benchmarks/persona_worlds.py`): 6 personas
whose nearest centres lie 3.2 standard deviations apart, drifting by 0.03 a week; a seventh is born in week 9, one dies in
week 15; 1 % truly move and 1 % are replaced each week.

| | worlds | id switches | births found | deaths found | false events | spurious churn a week | movers right the same week | three weeks later | people placed right |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""  # noqa: E501
BETWEEN = """
*Spurious churn*: label changes of people who did not truly move within three weeks, in weeks without a birth or death and
the three after them. *Found*: within one refit. A birth told as a split, or a death told as a merge, is found; anything else
that is told is a false event. With refits every four weeks a birth or death is found by the first refit after it.

# How well definitions are met

Six kinds of people named by a few examples each, 15 % of everybody of two kinds nobody named
(`benchmarks/defined_worlds.py`, separation 3.2). Everybody counts for the calibration error, the unnamed as never right.

| examples per persona | worlds | accuracy (worst) | calibration error | area under the curve of none of these |
| --- | --- | --- | --- | --- |
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=8)
    parser.add_argument("--other-worlds", type=int, default=8, help="worlds of every suite but the first")
    parser.add_argument("--defined-worlds", type=int, default=12)
    chosen = parser.parse_args()
    defined = []
    for examples in (5, 20):
        measured = [measure_world(seed, examples) for seed in range(chosen.defined_worlds)]
        accuracy = [one.accuracy for one in measured]
        defined.append(
            f"| {examples} | {len(measured)} | {np.mean(accuracy):.3f} ({min(accuracy):.3f}) | "
            f"{np.mean([one.calibration_error for one in measured]):.3f} | "
            f"{np.mean([one.novelty_auc for one in measured]):.3f} |"
        )
    tracked: list[str] = []
    _write(tracked, defined)
    for number, (words, world, how, odds) in enumerate(SUITES):
        started = time.perf_counter()
        seeds = range(chosen.worlds if number == 0 else chosen.other_worlds)
        lived = []
        for seed in seeds:
            lived.append(track_world(world, seed, odds=odds, **how))  # type: ignore[arg-type]
            row = _row(words, world, how["refit_every"], lived)  # type: ignore[arg-type]
            _write([*tracked, row], defined)
        tracked.append(row)
        sys.stderr.write(f"{words}: {time.perf_counter() - started:.0f} s\n{row}\n")


def _write(tracked: list[str], defined: list[str]) -> None:
    """What is known so far: the command takes long, and may be stopped."""
    OUT.write_text(HEAD + "\n".join(tracked) + "\n" + BETWEEN + "\n".join(defined) + "\n", encoding="utf-8")


def _row(words: str, world: WorldSettings, refit_every: int, lived: list[Tracked]) -> str:
    births = deaths = false = 0
    for one in lived:
        due = {"birth": world.birth_week, "death": world.death_week}
        for week, event, _ in one.events:
            if week == 0:
                continue
            kind = SAME.get(event, event)
            expected = due.get(kind)
            if expected is not None and expected <= week < expected + refit_every + (refit_every > 1):
                due[kind] = None
                births, deaths = births + (kind == "birth"), deaths + (kind == "death")
            else:
                false += 1
    told = [one.summary() for one in lived]

    def mean(name: str) -> float:
        return float(np.mean([summary[name] for summary in told]))

    return (
        f"| {words} | {len(lived)} | {sum(one.id_switches for one in lived)} | {births} | {deaths} | {false} | "
        f"{mean('spurious churn'):.2%} | {mean('caught the same week'):.1%} | {mean('caught within 3 weeks'):.1%} | "
        f"{mean('accuracy'):.1%} |"
    )


if __name__ == "__main__":
    main()
