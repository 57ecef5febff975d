"""The card of a propensity model for people to read.

Here belongs Markdown. What the card says is decided in `propensity_card`.
"""

from typing import Any


def propensity_markdown(card: dict[str, Any]) -> str:
    """Write a card as Markdown.

    Args:
        card: As `propensity_card` returns it.
    """
    data, method, quality, calibration = (card[part] for part in ("data", "method", "quality", "calibration"))
    horizon = f"{data['horizon_days']} days ahead" if data["horizon_days"] else "no horizon: a label"
    weeks = f"{data['snapshots'][0]} to {data['snapshots'][-1]}" if data["snapshots"] else "no week"
    constraints = ", ".join(
        f"{name} {'rising' if sign > 0 else 'falling'}" for name, sign in method["monotonic"].items()
    )
    lines = [
        f"# Propensity model {card['model_id']}: {card['target']}",
        "",
        f"- Data: {data['rows']:,} (person, week) rows of weeks ending {weeks}, {data['positives']:,} with the outcome "
        f"({data['base_rate']:.1%} of all), {horizon}; nothing after {data['as_of']} was known.",
        *([f"- {data['drawn']}"] if data["drawn"] else []),
        f"- Method: {method['algorithm']}, seed {method['seed']}; {method['chosen_because']}.",
        *([f"- Declared: {constraints}."] if constraints else []),
        f"- Calibration: {calibration['method']}.",
        "",
        "## How good it is",
        "",
        f"Measured on {quality['measured_on']}: {quality['rows']:,} rows, {quality['positives']:,} with the outcome.",
        "",
        "| figure | value | 95 % interval |",
        "|---|---:|---|",
        *(
            f"| {words} | {quality[name]['value']:.4f} | {_interval(quality[name])} |"
            for name, words in (("auc", "AUC"), ("log_loss", "log loss"), ("brier", "Brier score"))
        ),
        f"| log loss of the base rate alone | {quality['base_rate_log_loss']:.4f} | |",
        f"| calibration error, ten parts | {calibration['error']:.4f} | |",
        f"| calibration slope | {_number(calibration['slope'])} | ± {_number(calibration['slope_error'])} (s.e.) |",
        "",
        "| predicted | observed | people |",
        "|---:|---:|---:|",
        *(
            f"| {part['mean_probability']:.1%} | {part['observed_share']:.1%} | {part['people']:,} |"
            for part in calibration["reliability"]
        ),
        "",
    ]
    if card["suspects"]:
        kept = {"leave_out": "left out", "block": "blocking", "keep": "kept"}[card["suspects_are"]]
        lines += [f"## Features under suspicion ({kept})", ""]
        lines += [f"- {one['feature']}: {one['reason']}" for one in card["suspects"]]
        lines.append("")
    if card["importance"]:
        lines += ["## What matters most", "", "| feature | log loss without it |", "|---|---:|"]
        lines += [f"| {one['feature']} | +{one['log_loss_increase']:.4f} |" for one in card["importance"]]
        lines.append("")
    if card["drift"]:
        drifted = card["drift"]["drifted"]
        lines += ["## Features that have drifted", ""]
        lines += [
            f"Since the weeks it learned from, {len(drifted)} of {card['drift']['tested']} features have drifted"
            f"{':' if drifted else '.'}",
            "",
        ]
        lines += [*(f"- {one['feature']}: {one['words']}" for one in drifted), *([""] if drifted else [])]
    lines += [f"Features: {', '.join(one['feature'] for one in card['features'])}.", ""]
    lines += ["## Limits", "", *(f"- {sentence}" for sentence in card["limits"]), ""]
    return "\n".join(lines)


def _interval(figure: dict[str, float | None]) -> str:
    return f"{_number(figure['low'])} to {_number(figure['high'])}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
