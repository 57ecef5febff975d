"""A week of an invented company as report data: five personas, one of them new, 26 weeks of history."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
from sample_company import AS_OF, PERSONAS
from sample_propensities import propensities
from sample_reach import reach

from activation.report.report_data import REPORT_FRAMES, ReportData

_FEATURES = [
    ("active_days_28d", "active days in the last 4 weeks", "engagement", "number", "days", 6.2),
    ("sessions_28d", "sessions in the last 4 weeks", "engagement", "number", None, 11.4),
    ("evening_share_91d", "share of activity in the evening", "engagement", "flag", None, 0.14),
    ("days_since_last_event", "days since last seen", "engagement", "number", "days", 21.0),
    ("reports_exported_28d", "reports exported in the last 4 weeks", "product", "number", None, 3.1),
    ("api_calls_28d", "interface calls in the last 4 weeks", "product", "number", None, 54.0),
    ("integrations_91d", "integrations connected in the last 13 weeks", "product", "number", None, 0.42),
    ("courses_28d", "courses watched in the last 4 weeks", "product", "number", None, 0.8),
    ("orders_91d", "orders in the last 13 weeks", "purchases", "number", None, 0.36),
    ("order_amount_91d", "amount ordered in the last 13 weeks", "purchases", "number", "EUR", 128.0),
    ("days_since_order", "days since last order", "purchases", "number", "days", 97.0),
    ("clicks_91d", "e-mail clicks in the last 13 weeks", "messages", "number", None, 1.7),
    ("opens_91d", "e-mails opened in the last 13 weeks", "messages", "number", None, 5.9),
    ("has_unsubscribed", "has unsubscribed", "messages", "flag", None, 0.06),
    ("tickets_91d", "support tickets in the last 13 weeks", "support", "number", None, 0.31),
    ("satisfaction", "satisfaction with support", "survey", "number", "of 5", 3.9),
    ("contact_age_days", "days since sign-up", "profile", "number", "days", 512.0),
    ("seniority_manager", "seniority: manager", "profile", "category share", None, 0.22),
    ("plan_enterprise", "plan: Enterprise", "account", "category share", None, 0.17),
    ("employee_count", "employees", "account", "number", None, 240.0),
]

_MOVES = {
    ("persona-01", "persona-01"): 2954, ("persona-01", "persona-02"): 41, ("persona-01", "persona-04"): 64,
    ("persona-01", "persona-03"): 12, ("persona-01", None): 11,
    ("persona-02", "persona-02"): 1399, ("persona-02", "persona-01"): 38, ("persona-02", "persona-04"): 6,
    ("persona-02", None): 4,
    ("persona-03", "persona-03"): 2189, ("persona-03", "persona-04"): 97, ("persona-03", "persona-01"): 23,
    ("persona-03", None): 15,
    ("persona-04", "persona-04"): 4108, ("persona-04", "persona-03"): 88, ("persona-04", "persona-01"): 31,
    ("persona-04", None): 52,
    ("persona-06", "persona-06"): 802, ("persona-06", "persona-01"): 58, ("persona-06", "persona-02"): 33,
    ("persona-06", "persona-03"): 9,
    (None, "persona-06"): 138, (None, "persona-01"): 16, (None, "persona-03"): 12, (None, "persona-02"): 7,
}  # fmt: skip


def sample_report(**changed) -> ReportData:
    """The week; keyword arguments replace fields."""
    return replace(_sample(), **changed) if changed else _sample()


@cache
def _sample() -> ReportData:
    history = _history()
    return ReportData(
        company="Brückner & Söhne Analytics",
        as_of=AS_OF,
        week_start=AS_OF - timedelta(days=7),
        timezone="Europe/Berlin",
        currency="EUR",
        k_choice="Five personas: the most for which every persona was found again in other samples of the same people.",
        model_id="m-3f9a1c77",
        kpis=history.filter(pl.col("as_of") == AS_OF),
        history=history,
        profiles=_profiles(),
        index=_index(),
        market=_market(),
        subgroups=_subgroups(),
        migrations=_migrations(),
        **propensities(),
        k_evidence=pl.DataFrame(
            {
                "k": [3, 4, 5, 6, 7, 8],
                "silhouette": [0.31, 0.29, 0.28, 0.24, 0.22, 0.21],
                "stability": [0.93, 0.90, 0.91, 0.74, 0.66, 0.58],
                "is_chosen": [False, False, True, False, False, False],
            }
        ),
        deliveries=_deliveries(),
        **reach(),
        spared_pressure=pl.DataFrame(
            {"reason": ["asked for a payment plan", "in debt counselling"], "people": [140, 4]}
        ),
        audiences=pl.DataFrame(
            {
                "audience": ["winback", "news", "rare"],
                "description": ["", "", ""],
                "destination": ["files", "mail", "mail"],
                "state": ["blocked", "published", "not_due"],
                "state_reason": ["size_jump: 1,600 people may be contacted; last time there were 100", None, None],
                "values_as_of": [AS_OF - timedelta(days=7), AS_OF, AS_OF - timedelta(days=7)],
                "people": [100, 1600, 3],
            }
        ),
        left_out=pl.DataFrame({"reason": ["no_consent_recorded", "objected"], "people": [1204, None]}),
        checks=pl.DataFrame(
            {
                "entity": ["contacts", "events", "messages", "orders", "tickets"],
                "passed": [14, 11, 9, 12, 7],
                "failed": [0, 0, 0, 0, 0],
                "warnings": [1, 0, 0, 0, 0],
            }
        ),
        rhythms=_rhythms(),
        stages=_stages(),
        typical=_typical(),
        ledger=pl.DataFrame(
            [
                (
                    "persona-06",
                    "birth",
                    "no persona continues in it; the largest part of its people, 31%, came from persona-01",
                ),
                ("persona-01", "continuation", "94% of the people of either are in both"),
            ],
            schema=["persona_id", "event", "reason"],
            orient="row",
        ),
        defined=_defined(),
        **_lookalikes(),
        range_suggestions=pl.DataFrame(
            {
                "segment_id": ["defined-budget"],
                "label": ["Revenue in 13 weeks"],
                "low": [None],
                "high": [260.0],
                "reason": ["of those who fit everything else, 71% are within the range"],
            },
            schema_overrides={"low": pl.Float64},
        ),
        suggestions=pl.DataFrame(
            {
                "name": ["Night-time downloaders"],
                "description": ["They download at night."],
                "people": [410],
                "share": [0.03],
            }
        ),
        refit="champion (schedule): stable",
        moved_by_refit_alone=31,
    )


def two_personas() -> ReportData:
    """The week of a company that has two of the five personas, whose page is made in half the time."""
    data = sample_report()
    others = [f"persona-0{number}" for number in (2, 3, 4)]
    kept = {}
    for name in REPORT_FRAMES:
        frame = getattr(data, name)
        of_personas = {"segment_id", "persona_id", "from_segment_id", "to_segment_id"} & set(frame.columns)
        for column in of_personas:
            frame = frame.filter(pl.col(column).is_in(others).not_() | pl.col(column).is_null())
        kept[name] = frame
    return replace(data, **kept)


def empty_report() -> ReportData:
    """Build a week of which nothing is known."""
    frames = ["kpis", "history", "profiles", "migrations", "propensity", "propensity_models", "propensity_by_segment"]
    frames += ["rhythms", "stages", "typical", "ledger", "defined", "range_suggestions", "suggestions"]
    frames += ["lookalikes", "lookalike_precision", "lookalike_parity", "lookalike_notes"]
    frames += ["k_evidence", "deliveries", "checks", "left_out", "audiences"]
    nothing = {name: pl.DataFrame() for name in frames}
    return sample_report(**nothing, k_choice="", model_id="", refit="", moved_by_refit_alone=None)


def _history() -> pl.DataFrame:
    random = np.random.default_rng(7)
    growth = dict(zip(PERSONAS, [0.011, 0.016, -0.004, 0.003, 0.05], strict=True))
    rows = []
    for weeks_ago in range(25, -1, -1):
        week = AS_OF - timedelta(days=7 * weeks_ago)
        for persona_id, (name, people, description) in PERSONAS.items():
            if persona_id == "persona-06" and weeks_ago > 11:
                continue
            wobble = 1 + 0.012 * random.standard_normal() * (weeks_ago > 0)
            size = round(people * (1 + growth[persona_id]) ** -weeks_ago * wobble)
            if weeks_ago == 1:
                size = sum(number for (origin, _), number in _MOVES.items() if origin == persona_id)
            rows.append((week, persona_id, name, description, size))
    share = {"persona-01": 0.31, "persona-02": 0.34, "persona-03": 0.24, "persona-04": 0.08, "persona-06": 0.03}
    return (
        pl.DataFrame(rows, schema=["as_of", "segment_id", "segment_name", "description", "people"], orient="row")
        .sort("segment_id", "as_of")
        .with_columns(
            people_share=pl.col("people") / pl.col("people").sum().over("as_of"),
            previous_people=pl.col("people").shift(1).over("segment_id"),
            revenue_share=pl.col("segment_id").replace_strict(share, return_dtype=pl.Float64),
            reachable_people=(pl.col("people") * 0.61).round().cast(pl.Int64),
            mean_probability=pl.lit(0.1),
        )
        .with_columns(revenue=pl.col("revenue_share") * 1_864_200.0)
    )


def _profiles() -> pl.DataFrame:
    random = np.random.default_rng(11)
    rows = []
    for persona_id, (_, people, _) in PERSONAS.items():
        for name, label, family, kind, unit, base in _FEATURES:
            effect = float(np.clip(random.normal(0, 0.75), -1.6, 2.2))
            value = base * float(np.exp(0.7 * effect))
            if kind != "number":
                value = min(value, 0.97)
            rows.append((persona_id, name, label, family, kind, unit, value, base, 100 * value / base, effect, people))
    schema = ["segment_id", "characteristic", "label", "family", "kind", "unit", "segment_value", "base_value"]
    profiles = pl.DataFrame(rows, schema=[*schema, "index_value", "effect_size", "people"], orient="row")
    reach = (
        196
        * ((pl.col("segment_value") - pl.col("base_value")) / pl.col("effect_size")).abs()
        / (pl.col("base_value") * pl.col("people").sqrt())
    )
    return profiles.with_columns(
        index_low=(pl.col("index_value") - reach).clip(0), index_high=pl.col("index_value") + reach
    )


_TYPES_OF_FAMILIES = {"profile": "demographic", "account": "firmographic"}


def _index() -> pl.DataFrame:
    """The profiles as an index, with interests, triggers and a figure that would tell of too few."""
    profiles = _profiles().with_columns(
        characteristic_type=pl.col("family").replace_strict(_TYPES_OF_FAMILIES, default="behavioural"),
        kind=pl.when(pl.col("kind") == "number").then(pl.lit("number")).otherwise(pl.lit("flag")),
        is_persona_input=pl.col("characteristic").str.ends_with("_28d"),
    )
    phrases = [
        ("persona-02", "trigger", "trigger=API", "Responds to: API", 0.41, 0.14),
        ("persona-02", "target", "target=engineer", "Is like: engineer", 0.33, 0.12),
        ("persona-03", "trigger", "trigger=pricing", "Responds to: pricing", 0.52, 0.21),
        ("persona-04", "trigger", "trigger=API", "Responds to: API", 0.05, 0.14),
    ]
    told = pl.DataFrame(
        [
            {
                "segment_id": segment,
                "characteristic_type": kind,
                "characteristic": name,
                "label": label,
                "family": kind,
                "kind": "flag",
                "unit": "share",
                "segment_value": value,
                "base_value": base,
                "index_value": 100 * value / base,
                "index_low": 90 * value / base,
                "index_high": 111 * value / base,
                "is_persona_input": False,
            }
            for segment, kind, name, label, value, base in phrases
        ]
    )
    few = told.head(1).with_columns(
        characteristic=pl.lit("trigger=audit"),
        label=pl.lit("Responds to: audit"),
        abstained_reason=pl.lit("fewer than 10 people have it"),
        **{name: pl.lit(None, pl.Float64) for name in ("segment_value", "index_value", "index_low", "index_high")},
    )
    rows = pl.concat([profiles, told, few], how="diagonal")
    names = {persona_id: name for persona_id, (name, _, _) in PERSONAS.items()}
    return rows.with_columns(
        segment_type=pl.lit("persona"),
        segment_name=pl.col("segment_id").replace_strict(names, return_dtype=pl.String),
        value_low=pl.col("segment_value") * 0.9,
        value_high=pl.col("segment_value") * 1.1,
        adjusted_p_value=pl.when(pl.col("index_value").is_not_null()).then(0.001),
        direction=pl.when(pl.col("index_low") > 100)
        .then(pl.lit("over"))
        .when(pl.col("index_high") < 100)
        .then(pl.lit("under")),
    )


def _market() -> pl.DataFrame:
    rows = []
    for persona_id, (name, people, _) in PERSONAS.items():
        for audience, part in (("everyone", 1.0), ("contactable", 0.6)):
            size = people * part
            rows.append(
                {
                    "segment_type": "persona",
                    "segment_id": persona_id,
                    "segment_name": name,
                    "audience": audience,
                    "purpose": "email_marketing" if part < 1 else None,
                    "channel": "email" if part < 1 else None,
                    "people": round(size),
                    "people_low": 0.94 * size,
                    "people_high": 1.03 * size,
                    "companies": round(size / 4),
                    "companies_low": 0.9 * size / 4,
                    "companies_high": 1.2 * size / 4,
                    "is_suppressed": False,
                }
            )
    band = rows[0] | {"segment_type": "propensity_band", "segment_id": "churn:high", "segment_name": "churn: high"}
    return pl.DataFrame([*rows, band], infer_schema_length=None)


def _subgroups() -> pl.DataFrame:
    group = {
        "segment_type": "persona",
        "segment_id": "persona-02",
        "segment_name": PERSONAS["persona-02"][0],
        "phrase": "API",
        "people": 412,
        "people_share": 0.41,
        "index_value": 293.0,
        "index_low": 268.0,
        "index_high": 320.0,
        "contactable_people": 240,
        "clicked_share": 0.22,
        "click_index": 131.0,
        "click_index_low": 108.0,
        "click_index_high": 155.0,
        "content_1": "page: API reference",
        "content_1_people": 230,
        "content_2": "search: api <token>",
        "content_2_people": 31,
        "content_3": None,
        "content_3_people": None,
    }
    small = {name: value if name.startswith("segment") else None for name, value in group.items()} | {"phrase": "audit"}
    return pl.DataFrame([group, small], infer_schema_length=None)


def _rhythms() -> pl.DataFrame:
    random = np.random.default_rng(5)
    by_hour = np.array([0] * 5 + [0.02, 0.05, 0.2, 0.5, *[0.8] * 9, 0.5, 0.4, 0.4, 0.3, 0.2, 0.1])
    rows = [
        (persona_id, weekday, hour, int(2 * people * share) + 1, people)
        for persona_id, (_, people, _) in PERSONAS.items()
        for weekday in range(1, 8)
        for hour, share in enumerate(by_hour * (0.4 if weekday > 5 else 1) * random.uniform(0.5, 1.5, 24))
        if share
    ]
    rows[0] = (*rows[0][:3], 9, 4)
    return pl.DataFrame(rows, schema=["segment_id", "weekday", "hour", "active_hours", "people"], orient="row")


def _stages() -> pl.DataFrame:
    shares = {"new": 0.05, "active": 0.6, "cooling": 0.25, "dormant": 0.1}
    rows = [
        (persona_id, stage, int(people * share))
        for persona_id, (_, people, _) in PERSONAS.items()
        for stage, share in shares.items()
    ]
    rows[0] = ("persona-01", "new", 3)
    rows[5] = ("persona-02", "active", 1200)
    return pl.DataFrame(rows, schema=["segment_id", "stage", "people"], orient="row")


def _typical() -> pl.DataFrame:
    rows = [
        ("persona-01", "3fa21c", 11, "Active days in 4 weeks", "number", "days", 18.4),
        ("persona-01", "3fa21c", 12, "Share of activity in the evening", "number", "share", 0.41),
    ]
    return pl.DataFrame(
        rows, schema=["segment_id", "pseudonym", "place", "label", "kind", "unit", "value"], orient="row"
    )


def _defined() -> pl.DataFrame:
    told = {"segment_id": "defined-budget", "segment_name": "Budget-minded", "description": "They spend little."}
    found = {"people": 1240, "share": 0.1, "reachable_people": 700, "mean_fit": 0.93, "separation": 1.4}
    judged = {"stability": 0.88, "nearest_id": "persona-04", "nearest_overlap": 0.22, "unfit_reason": None}
    unfit = dict.fromkeys(told | found | judged) | {
        "segment_id": "defined-vip",
        "segment_name": "VIPs",
        "unfit_reason": "none of its example people is known this week",
    }
    return pl.DataFrame([told | found | judged, unfit], infer_schema_length=None)


def _lookalikes() -> dict[str, pl.DataFrame]:
    """One list of look-alikes, and a seed that is too small."""
    lists = [
        ("night_owls", "classifiers", 400, 9000, 1000, None),
        ("tiny", "classifiers", 4, None, 0, "the seed is too small: 4 people, and it takes 50"),
    ]
    sizes = [
        {"lookalike": "night_owls", "people": people}
        | {f"recall{end}": recall + off for end, off in (("", 0.0), ("_low", -0.04), ("_high", 0.04))}
        | {f"lift{end}": lift + off for end, off in (("", 0.0), ("_low", -0.5), ("_high", 0.5))}
        | {f"precision{end}": 0.2 + off for end, off in (("", 0.0), ("_low", -0.1), ("_high", 0.1))}
        for people, recall, lift in ((500, 0.25, 4.5), (1000, 0.4, 3.6))
    ]
    groups = [
        {"lookalike": "night_owls", "attribute": "gender", "group": group, "base_share": 0.5, "seed_share": seed}
        | {"chosen_share": share, "chosen_low": share - 0.03, "chosen_high": share + 0.03, "is_off": share == 0.3}
        for group, seed, share in (("f", None, 0.3), ("m", 0.6, 0.52))
    ]
    return {
        "lookalikes": pl.DataFrame(
            lists,
            schema=["lookalike", "method", "seed_people", "candidates", "people", "abstained_reason"],
            orient="row",
        ),
        "lookalike_precision": pl.DataFrame(sizes),
        "lookalike_parity": pl.DataFrame(groups),
        "lookalike_notes": pl.DataFrame({"lookalike": ["night_owls"], "place": [0], "words": ["Only <so> many."]}),
    }


def _migrations() -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "previous_as_of": AS_OF - timedelta(days=7),
                "as_of": AS_OF,
                "from_segment_id": origin,
                "from_segment_name": PERSONAS[origin][0] if origin else None,
                "to_segment_id": goal,
                "to_segment_name": PERSONAS[goal][0] if goal else None,
                "people": people,
                "redrawn_people": people // 10 if origin and goal and origin != goal else 0,
            }
            for (origin, goal), people in _MOVES.items()
        ],
        infer_schema_length=None,
    )


def _deliveries() -> pl.DataFrame:
    latest = datetime(2026, 11, 15, 22, 58)
    return pl.DataFrame(
        [
            ("contacts", 1, 412, 409, 3, 0, latest),
            ("events", 2, 98_211, 98_102, 12, 97, latest),
            ("messages", 1, 31_004, 31_004, 0, 0, latest),
            ("orders", 1, 388, 386, 2, 0, latest),
            ("tickets", 1, 74, 74, 0, 0, latest),
        ],
        schema=["entity", "files", "rows_read", "rows_loaded", "rows_quarantined", "rows_duplicate", "latest_row_at"],
        orient="row",
    )
