"""The card of a look-alike: what it was made from, how many of a hidden seed it finds, and where not to trust it.

Here belongs the telling, as data and as Markdown. The figures come from `lookalikes`, `lookalike_evaluation` and
`parity`; cards are written elsewhere.
"""

from datetime import date
from typing import Any

import polars as pl

from ml.lookalikes import Separation

PROBABILITY_MEANS = (
    "Of the seed and everybody else together, this share of the people with such a score is in the seed. Whoever is as "
    "good as the seed and is not known to be counts as different, so it is the least share that is alike. It is no "
    "probability of buying anything."
)
PRECISION_MEANS = (
    "Each tenth of the seed was hidden once and ranked by models that learned from the rest. Recall is the share of "
    "the hidden people that a list of so many people finds; lift compares it with a list drawn by lot; precision is "
    "the share of seed in such a list if the whole seed were hidden. Intervals are 95 %."
)
LIMITS = (
    "People are like the seed in what is known of them; a seed that was chosen by an outcome brings its luck along.",
    "What set the seed apart in this week may not in another; the list is made anew every week.",
    "Who is like a group inherits what the group is like: read the shares of gender, age and region before using it.",
)
MOST_IMPORTANT = 15


def lookalike_card(
    name: str,
    model_id: str,
    as_of: date,
    method: str,
    seed: dict[str, Any],
    seed_people: int,
    candidates: int,
    people: int,
    said: dict[str, Any],
    separation: Separation,
    calibration: str,
    precision: pl.DataFrame,
    parity: pl.DataFrame,
    notes: list[str],
) -> dict[str, Any]:
    """Tell what a look-alike is, as a JSON object.

    Args:
        name: Of the look-alike.
        model_id: Of its model.
        as_of: Exclusive end of the week: nothing after it was known.
        method: classifiers, distance or characteristics.
        seed: How the seed was chosen, as somebody wrote it.
        seed_people: People in it.
        candidates: People who may be listed.
        people: People listed.
        said: inputs, and what else the method tells (learned_from, importance, without_a_value).
        separation: How well hidden people of the seed are told from everybody.
        calibration: How probabilities were made, in words.
        precision: As `precision_by_size` gives it.
        parity: As `parity.parity` gives it.
        notes: What to know before using it, in words.

    Returns:
        The same with meanings and limits.
    """
    return {
        "lookalike": name,
        "model_id": model_id,
        "as_of": as_of.isoformat(),
        "method": method,
        "seed": seed,
        "seed_people": seed_people,
        "candidates": candidates,
        "people": people,
        "inputs": said["inputs"],
        "learned_from": said.get("learned_from"),
        "importance": [
            {"feature": feature, "share": round(share, 6)}
            for feature, share in said.get("importance", ())[:MOST_IMPORTANT]
        ],
        "auc": {"value": separation.auc, "low": separation.low, "high": separation.high},
        "calibration": calibration,
        "probability_means": PROBABILITY_MEANS,
        "precision_means": PRECISION_MEANS,
        "precision_by_size": precision.to_dicts(),
        "parity": parity.to_dicts(),
        "notes": notes,
        "limits": list(LIMITS),
    }


def card_in_markdown(card: dict[str, Any]) -> str:
    """The card for people to read."""
    auc = card["auc"]
    lines = [
        f"# Look-alike {card['lookalike']}",
        "",
        f"Week ending {card['as_of']}, model {card['model_id']}, by {card['method']}. {card['people']:,} people listed "
        f"of {card['candidates']:,} who may be; the seed has {card['seed_people']:,}.",
        "",
        f"A hidden person of the seed is ranked above somebody else with a chance of {auc['value']:.2f} "
        f"({auc['low']:.2f} to {auc['high']:.2f}; .50 is chance).",
        "",
        *(f"- {note}" for note in card["notes"]),
        *([""] if card["notes"] else []),
        "## How precision falls with size",
        "",
        card["precision_means"],
        "",
        "| people | of the hidden found | lift | precision |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for row in card["precision_by_size"]:
        lines.append(
            f"| {row['people']:,} | {_interval(row, 'recall', '.0%')} | {_interval(row, 'lift', '.1f')} | "
            f"{_interval(row, 'precision', '.1%')} |"
        )
    lines += ["", "## Probability", "", card["probability_means"], "", f"Calibration: {card['calibration']}.", ""]
    if card["importance"]:
        told = ", ".join(f"{each['feature']} ({each['share']:.0%})" for each in card["importance"])
        lines += ["## What sets the seed apart", "", f"By the size of coefficients: {told}.", ""]
    lines += ["## Gender, age, region", ""]
    if card["parity"]:
        lines += ["| | everybody | seed | look-alikes | |", "| --- | ---: | ---: | ---: | --- |"]
        for row in card["parity"]:
            seed = "–" if row["seed_share"] is None else f"{row['seed_share']:.0%}"
            lines.append(
                f"| {_cell(row['attribute'])} {_cell(row['group'])} | {row['base_share']:.0%} | {seed} | "
                f"{row['chosen_share']:.0%} | {'differs' if row['is_off'] else ''} |"
            )
    else:
        lines.append("Not known of these people.")
    return "\n".join([*lines, "", "## Limits", "", *(f"- {limit}" for limit in card["limits"]), ""])


def _interval(row: dict[str, float], name: str, style: str) -> str:
    return f"{row[name]:{style}} ({row[f'{name}_low']:{style}} to {row[f'{name}_high']:{style}})"


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
