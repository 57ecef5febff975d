"""The card of a persona model: what it was made from, why it is as it is, and where not to trust it.

Here belongs the telling, as data and as Markdown. The figures come from `personas`; files are written elsewhere.
"""

from dataclasses import asdict
from datetime import date
from typing import Any

from ml.encoding import AnswerEncoding, CategoryEncoding, Encoding, FlagEncoding, NumberEncoding
from ml.persona_model import PersonaModel

LIMITS = (
    "People are described as of one week; who was not known then played no part.",
    "Personas describe averages. A single person with a low strength lies between two.",
    "Groups differ in what they were cut by; whether they differ in what they do next is tested week by week.",
)


def model_card(model: PersonaModel, fitted_as_of: date, window_start: date | None = None) -> dict[str, Any]:
    """Tell what a fitted model is, as a JSON object.

    Args:
        model: The model.
        fitted_as_of: Exclusive end of the week it was fitted on.
        window_start: First day that any feature looks at, where that is known.

    Returns:
        model_id, data (window, people, people per feature), method, features (with what was done to each), choice,
        evidence per number of personas, kind of solution, null test, segments, merges, notes and limits.
    """
    evidence = model.evidence
    return {
        "model_id": model.model_id,
        "data": {
            "from": window_start.isoformat() if window_start else None,
            "as_of": fitted_as_of.isoformat(),
            "people": evidence.people,
            "features": evidence.features,
            "people_per_feature": round(evidence.people / max(evidence.features, 1), 1),
        },
        "method": {
            "algorithm": model.algorithm,
            "personas": model.k,
            "markets": sorted({market for market in model.markets if market is not None}),
            "family_weights": dict(model.settings.families or {}),
            "seed": model.settings.seed,
            "starts": model.settings.starts,
            "sample": model.settings.sample_size,
        },
        "features": [
            {"feature": one.feature, "preparation": preparation_in_words(one)} for one in model.preparation.encodings_
        ],
        "choice": model.choice,
        "candidates": model.k_evidence.to_dicts(),
        "solution": {
            "kind": evidence.solution_kind,
            "in_words": evidence.kind_words,
            "stability": evidence.stability,
            "null_test": None if evidence.null_test is None else asdict(evidence.null_test),
        },
        "segments": [
            {
                "cluster": one.cluster,
                "people_share": one.people_share,
                "stability": one.stability,
                "recovery": one.recovery,
                "is_stable": one.is_stable,
            }
            for one in evidence.segments
        ],
        "merges": [one.words for one in evidence.merges],
        "notes": list(evidence.notes),
        "limits": list(LIMITS),
    }


def preparation_in_words(encoding: Encoding) -> str:
    """What was done to a feature before people were compared."""
    missing = getattr(encoding, "missing_share", None)
    also = f"; {missing:.0%} missing, told apart at half weight" if missing is not None else ""
    if isinstance(encoding, NumberEncoding):
        shape: str = encoding.shape
        if shape == "signed log":
            shape = f"signed log of x / {encoding.unit:g}"
        elif shape == "Yeo-Johnson":
            shape = f"Yeo-Johnson of x / {encoding.unit:g}, power {encoding.power:g}"
        zeros = (
            f"; any or none told apart ({encoding.any_share:.0%} have any)" if encoding.any_share is not None else ""
        )
        return f"{shape}, drawn in to {encoding.low:g}..{encoding.high:g}, standardized{zeros}{also}"
    if isinstance(encoding, CategoryEncoding):
        rest = ", the rest pooled" if encoding.other_share is not None else ""
        return f"{len(encoding.levels)} levels{rest}, weighted by the root of their share{also}"
    if isinstance(encoding, AnswerEncoding):
        return f"answer, {encoding.share:.0%} yes, on its own scale"
    assert isinstance(encoding, FlagEncoding)  # noqa: S101
    return f"flag, {encoding.share:.0%} yes, standardized{also}"


def card_markdown(card: dict[str, Any]) -> str:
    """Write a card for people to read."""
    data, method, solution = card["data"], card["method"], card["solution"]
    window = f"{data['from']} to {data['as_of']}" if data["from"] else f"up to {data['as_of']}"
    lines = [
        f"# Persona model {card['model_id']}",
        "",
        f"- Data: {window} (exclusive), {data['people']:,} people, {data['features']} features, "
        f"{data['people_per_feature']:.0f} people per feature.",
        f"- Method: {method['algorithm'].replace('_', ' ')}, {method['personas']} personas, seed {method['seed']}.",
        f"- {solution['in_words']}",
    ]
    if solution["null_test"]:
        test = solution["null_test"]
        lines.append(
            f"- Against {test['replicates']} sets of {test['people']:,} people without groups: "
            f"p = {test['p_value']:.3f}, {test['excess']:.1f} standard deviations more grouped."
        )
    if solution["stability"] is not None:
        lines.append(
            f"- Stability of the published personas when people are drawn anew: {solution['stability']:.2f} "
            "(the numbers below are compared on samples of their own, with k-means)."
        )
    lines += ["", "## Why this many", "", card["choice"], ""]
    if card["candidates"]:
        lines += [
            "| personas | stability | prediction strength | gap | BIC | seeds agree |",
            "|---:|---:|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {one['k']}{' (chosen)' if one['is_chosen'] else ''} | {one['stability']:.2f} | "
            f"{one['prediction_strength']:.2f} | {one['gap']:.3f} | {one['bic']:,.0f} | {one['seed_agreement']:.2f} |"
            for one in card["candidates"]
        ]
        lines.append("")
    if card["segments"]:
        lines += ["## Segments", "", "| segment | people | stability | recovery |", "|---:|---:|---:|---:|"]
        lines += [
            f"| {one['cluster'] + 1} | {one['people_share']:.1%} | {one['stability']:.2f} | {one['recovery']:.2f} |"
            for one in card["segments"]
        ]
        lines.append("")
    told = [*card["merges"], *card["notes"]]
    if told:
        lines += ["## What to know", "", *(f"- {sentence}" for sentence in told), ""]
    lines += ["## Features", "", "| feature | what was done |", "|---|---|"]
    lines += [f"| {one['feature']} | {one['preparation']} |" for one in card["features"]]
    lines += ["", "## Limits", "", *(f"- {sentence}" for sentence in card["limits"]), ""]
    return "\n".join(lines)
