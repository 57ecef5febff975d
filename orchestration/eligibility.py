"""Who a target is predicted of, as SQL over `features.person_features`: the same for learning and for scoring.

What belongs here: from a target's conditions to an expression that says why somebody is not eligible. The features are
those of the week's end, so nothing after it can decide. Which conditions there are stands in `target_settings.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestration.sql import identifier, literal
from orchestration.target_settings import Eligibility, FeatureCondition, Target, upgraded_feature

NOT_ELIGIBLE = "not eligible: "


def not_eligible_reason(
    target: Target, features: Mapping[str, str], labels: Mapping[str, str], alias: str = "f"
) -> str:
    """An SQL expression: why somebody is not eligible, null for who is.

    Args:
        target: the target.
        features: kind of every feature that is there; what is not delivered has no column.
        labels: what each feature is called in words.
        alias: the name under which `features.person_features` is read.
    """
    cases = [
        f"when not coalesce({condition}, false) then {literal(NOT_ELIGIBLE + reason)}"
        for condition, reason in _conditions(target, features, labels, alias)
    ]
    return f"case {' '.join(cases)} end" if cases else "cast(null as varchar)"


def _conditions(
    target: Target, features: Mapping[str, str], labels: Mapping[str, str], alias: str
) -> Iterator[tuple[str, str]]:
    """Each condition, and what is said of who does not meet it."""
    eligible: Eligibility = target.conditions

    def column(name: str) -> str:
        return f"{alias}.{identifier(name)}"

    if eligible.has_ordered:
        yield f"{column('orders_total')} > 0", "has never ordered"
    if eligible.never_ordered:
        yield f"{column('orders_total')} = 0", "has ordered before"
    if eligible.ordered_within_days:
        days = eligible.ordered_within_days
        yield f"{column('days_since_last_order')} < {days}", f"no order in the last {days} days"
    recent = [name for name in ("days_since_last_event", "days_since_last_order") if name in features]
    if eligible.active_within_days:
        days = eligible.active_within_days
        yield (
            " or ".join(f"coalesce({column(name)} < {days}, false)" for name in recent) or "false",
            f"not active in the last {days} days",
        )
    if eligible.inactive_for_days:
        days = eligible.inactive_for_days
        quiet = [f"coalesce({column(name)} >= {days}, true)" for name in recent]
        if "days_since_created" in features:
            yield f"coalesce({column('days_since_created')} >= {days}, true)", f"known for less than {days} days"
        yield " and ".join(quiet) or "false", f"active in the last {days} days"
    for name, condition in eligible.features.items():
        yield _of_feature(column(name), condition), f"{labels.get(name, name)} is not {_in_words(condition)}"
    if target.outcome == "upgrade":
        lower = target.values_in_order[:-1]
        feature = upgraded_feature(target)
        yield (
            _of_feature(column(feature), FeatureCondition(values=lower)),
            f"{labels.get(feature, feature)} is none of {', '.join(lower)}",
        )


def _of_feature(column: str, condition: FeatureCondition) -> str:
    if condition.values:
        listed = ", ".join(literal(value.strip().lower()) for value in condition.values)
        return f"lower(trim(cast({column} as varchar))) in ({listed})"
    bounds = []
    if condition.at_least is not None:
        bounds.append(f"{column} >= {condition.at_least!r}")
    if condition.at_most is not None:
        bounds.append(f"{column} <= {condition.at_most!r}")
    return " and ".join(bounds)


def _in_words(condition: FeatureCondition) -> str:
    if condition.values:
        return " or ".join(condition.values)
    if condition.at_least is not None and condition.at_most is not None:
        return f"between {condition.at_least:g} and {condition.at_most:g}"
    if condition.at_least is not None:
        return f"at least {condition.at_least:g}"
    return f"at most {condition.at_most:g}"
