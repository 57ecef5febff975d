"""A week of an invented company as report data: five personas, one of them new, 26 weeks of history."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from activation.report.report_data import ReportData

AS_OF = date(2026, 11, 16)

PERSONAS = {
    "persona-01": ("Very active report readers", 3120, "Opens reports on most working days and shares them."),
    "persona-02": (
        "Automation builders",
        1480,
        "Connects other systems and calls the interface; seldom looks at a page.",
    ),
    "persona-03": (
        "Campaign bargain seekers",
        2310,
        "Comes with a campaign, orders add-ons at a discount and leaves again.",
    ),
    "persona-04": ("Quiet long-standing accounts", 4275, "Has been a customer for years and hardly signs in."),
    "persona-06": ("Newcomers who take courses", 940, "Signed up within the last quarter and watches courses."),
}

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
    """Build the week; keyword arguments replace fields."""
    history = _history()
    data = ReportData(
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
        propensity=_propensity(),
        propensity_models=_models(),
        propensity_by_segment=_propensity_by_segment(),
        propensity_notes=_notes(),
        propensity_moved_by=_moved_by(),
        propensity_reliability=_reliability(),
        propensity_gains=_gains(),
        propensity_backtest=_backtest(),
        propensity_fairness=_fairness(),
        k_evidence=pl.DataFrame(
            {
                "k": [3, 4, 5, 6, 7, 8],
                "silhouette": [0.31, 0.29, 0.28, 0.24, 0.22, 0.21],
                "stability": [0.93, 0.90, 0.91, 0.74, 0.66, 0.58],
                "is_chosen": [False, False, True, False, False, False],
            }
        ),
        deliveries=_deliveries(),
        values=_values(),
        preferences=_preferences(),
        uplift=_uplift(),
        **_adoption(),
        persuasion=_persuasion(),
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
    return replace(data, **changed)


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


def _propensity() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "target": ["order_within_30_days"] * 3,
            "label": ["order within 30 days"] * 3,
            "band": ["low", "medium", "high"],
            "people": [7430, 3170, 1525],
            "mean_probability": [0.041, 0.153, 0.342],
        }
    )


def _models() -> pl.DataFrame:
    fitted = {
        "target": "order_within_30_days", "label": "order within 30 days", "algorithm": "gradient_boosting",
        "auc": 0.784, "auc_low": 0.761, "auc_high": 0.806, "log_loss": 0.298, "brier": 0.0871,
        "calibration_error": 0.009, "base_rate": 0.108, "training_rows": 148_210, "abstained_reason": None,
        "action": "offer an add-on", "eligible_people": 12_125, "calibration_slope": 0.98,
        "measured_on": "the week of 2026-10-12", "chosen_because": "the simplest", "refit": "champion (refit)",
        "calibration_drift": "calibration has drifted: 12% had the outcome",
    }  # fmt: skip
    abstained = dict.fromkeys(fitted) | {
        "target": "upgrade_within_90_days",
        "label": "upgrade within 90 days",
        "abstained_reason": "only 31 people did it in the training weeks, 50 are needed.",
    }
    return pl.DataFrame([fitted, abstained])


def _propensity_by_segment() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "target": ["order_within_30_days"] * 5,
            "segment_id": list(PERSONAS),
            "mean_probability": [0.137, 0.171, 0.162, 0.031, 0.062],
            "high_people": [512, 398, 560, 48, 7],
            "medium_people": [900, 420, 800, 900, 150],
            "low_people": [1708, 662, 950, 3327, 783],
        }
    )


def _notes() -> pl.DataFrame:
    target = "order_within_30_days"
    return pl.DataFrame(
        [
            {"target": target, "kind": "not_eligible", "words": "has ordered before", "people": 1204},
            {"target": target, "kind": "not_eligible", "words": "known for less than 60 days", "people": 4},
            {"target": target, "kind": "band", "words": "nobody measured was in the band high", "people": None},
            {"target": target, "kind": "suspect", "words": "invoice number: names single people", "people": None},
            {"target": target, "kind": "drift", "words": "sessions: lower than before", "people": None},
            {"target": target, "kind": "drift", "words": "country: 'DE': 60% of people", "people": None},
        ]
    )


def _moved_by() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "target": ["order_within_30_days"] * 2,
            "label": ["days since last order", "sessions in the last 4 weeks"],
            "log_loss_increase": [0.02, 0.01],
        }
    )


def _reliability() -> pl.DataFrame:
    predicted = [0.01 * 1.5**tenth for tenth in range(10)]
    return pl.DataFrame(
        {
            "target": ["order_within_30_days"] * 10,
            "mean_probability": predicted,
            "observed_share": [0.97 * share for share in predicted],
            "observed_low": [0.9 * share for share in predicted],
            "observed_high": [1.05 * share for share in predicted],
            "people": [1200] * 10,
        }
    )


def _gains() -> pl.DataFrame:
    depths = [0.01, 0.1, 0.3, 0.6, 1.0]
    gain = [0.05, 0.34, 0.65, 0.88, 1.0]
    profit = [900.0, 4100.0, 6200.0, 2100.0, -7000.0]
    curve = {
        "target": ["order_within_30_days"] * 5,
        "kind": ["curve"] * 5,
        "band": [None] * 5,
        "depth": depths,
        "people": [round(depth * 12_125) for depth in depths],
        "observed": [0.5, 0.36, 0.23, 0.16, 0.108],
        "observed_low": [0.4, 0.33, 0.22, 0.15, 0.1],
        "observed_high": [0.6, 0.39, 0.24, 0.17, 0.115],
        "lift": [share / depth for share, depth in zip(gain, depths, strict=True)],
        "gain": gain,
        "profit": profit,
        "profit_low": [amount - 500 for amount in profit],
        "profit_high": [amount + 500 for amount in profit],
    }
    band = {name: values[1] for name, values in curve.items()} | {"kind": "band", "band": "high"}
    return pl.concat([pl.DataFrame(curve, schema_overrides={"band": pl.String}), pl.DataFrame([band])])


def _backtest() -> pl.DataFrame:
    def row(weeks_ago: int, kind: str, segment: str, people: int, complaint: str | None) -> dict[str, object]:
        as_of = AS_OF - timedelta(days=7 * weeks_ago)
        return {
            "as_of": as_of, "scored_as_of": as_of - timedelta(days=35), "target": "order_within_30_days",
            "segment_type": kind, "segment_id": segment, "people": people, "predicted_mean": 0.11,
            "observed_share": 0.1, "observed_low": 0.09, "observed_high": 0.12, "calibration_error": 0.012,
            "auc": 0.78, "complaint": complaint,
        }  # fmt: skip

    too_high = "11% were expected and 8% came: probabilities were too high"
    return pl.DataFrame(
        [
            *(row(ago, "everybody", "everybody", 11_800, too_high if ago == 2 else None) for ago in range(4)),
            row(0, "persona", "persona-01", 3000, None),
            row(0, "market", "DE", 7000, None),
            row(0, "market", "IS", 3, None),
        ],
        infer_schema_length=None,
    )


def _fairness() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "target": ["order_within_30_days"] * 2,
            "attribute": ["language", "language"],
            "group": ["de", "fr"],
            "people": [9000, 1200],
            "mean_probability": [0.11, 0.12],
            "observed": [0.11, 0.07],
            "auc": [0.78, 0.74],
            "is_off": [False, True],
        }
    )


def _values() -> pl.DataFrame:
    segments = [*PERSONAS, "everybody"]
    value = [41_000.0, 22_500.0, 18_000.0, 2_400.0, None, 84_100.0]
    return pl.DataFrame(
        {
            "segment_id": segments,
            "horizon_days": [91] * 6,
            "buyers": [812, 401, 960, 210, 7, 2390],
            "expected_purchases": [331.2, 160.4, 402.0, 22.8, None, 919.1],
            "expected_value": value,
            "expected_value_low": [None if one is None else one * 0.8 for one in value],
            "expected_value_high": [None if one is None else one * 1.2 for one in value],
        }
    )


def _preferences() -> pl.DataFrame:
    told = {
        ("persona-01", "send_time"): ("Monday to Thursday 08:00-10:00", 0.41, 1.31),
        ("persona-03", "send_time"): ("weekend 12:00-14:00", 0.36, 1.27),
        ("persona-03", "offer"): ("20_percent_off", 0.29, 2.82),
        ("everybody", "offer"): ("20_percent_off", 0.11, 1.24),
        ("persona-02", "location"): ("DE", 0.62, 1.4),
    }
    rows = []
    for segment in [*PERSONAS, "everybody"]:
        for dimension in ("send_time", "offer", "location", "channel"):
            value, probability, lift = told.get((segment, dimension), (None, None, None))
            reason = "nothing but 'email' was tried often enough" if dimension == "channel" else "no value is better"
            rows.append(
                {
                    "segment_id": segment,
                    "dimension": dimension,
                    "best_value": value,
                    "probability": probability,
                    "lift": lift,
                    "evidence": 5_120,
                    "abstained_reason": None if value else reason,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _persuasion() -> pl.DataFrame:
    told = dict(
        message_style=None,
        withheld_reason=None,
        counted_responses="clicks and orders",
        caution="chance did not decide who got which approach: differences may be those of the people",
    )
    none = "no evidence yet: no approach is answered more than the others beyond chance; default for this group"
    rates = {
        "persona-01": {"social_proof": (0.131, 0.97, 1), "authority": (0.102, 0.02, 2), "scarcity": (0.1, 0.01, 3)},
        "persona-03": {"social_proof": (0.104, 0.31, 2), "authority": (0.109, 0.62, 1), "scarcity": (0.1, 0.07, 3)},
    }
    default = {"scarcity": None, "authority": 1, "social_proof": 2}
    rows = []
    for segment, approaches in rates.items():
        is_observed = segment == "persona-01"
        for approach, (rate, probability, rank) in approaches.items():
            rows.append(
                told
                | {
                    "segment_type": "persona",
                    "segment_id": segment,
                    "segment_name": PERSONAS[segment][0],
                    "approach": approach,
                    "approach_rank": rank if is_observed else default[approach],
                    "observed_rank": rank,
                    "sends": 2_000,
                    "responses": round(2_000 * rate),
                    "response_rate": rate,
                    "rate_low": rate - 0.01,
                    "rate_high": rate + 0.01,
                    "probability_best": probability,
                    "evidence": "observed" if is_observed else "default",
                    "message_style": "proof_seeking" if is_observed else "expertise_seeking",
                    "withheld_reason": None if is_observed or approach != "scarcity" else "in debt counselling",
                    "abstained_reason": None if is_observed else none,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _uplift() -> pl.DataFrame:
    judged = {
        "campaign": "add_on_week_2026_w43",
        "outcome": "an order within 14 days",
        "treated": 18_211,
        "control": 2_017,
        "effect": 0.0121,
        "effect_low": 0.0034,
        "effect_high": 0.0208,
        "qini_low": 0.011,
        "qini_high": 0.083,
        "uplift_at_30": 0.031,
        "verdict": "it works better in some: choose by two models",
        "abstained_reason": None,
    }
    refused = dict.fromkeys(judged) | {
        "campaign": "digest_2026_w42",
        "outcome": "an order within 14 days",
        "abstained_reason": "a group has fewer than 200 people",
    }
    return pl.DataFrame(
        [
            judged | {"learner": "two models", "qini": 0.047},
            judged | {"learner": "response model", "qini": 0.012},
            refused | {"learner": None, "qini": None},
        ],
        infer_schema_length=None,
    )


CLASSES = {
    "innovator": ("Innovator", 0.031),
    "early_adopter": ("Early Adopter", 0.128),
    "late": ("Late", 0.701),
    "influencer": ("Influencer", 0.0004),
    "unclassified": ("Unclassified", 0.1396),
}


def _adoption() -> dict[str, pl.DataFrame]:
    """Three weeks of classes, the last with a drawn launch."""
    history = [
        (AS_OF - timedelta(days=7 * back), one, name, place, round(share * 12_125), share - 0.002 * back, "adoption-1")
        for back in range(3)
        for place, (one, (name, share)) in enumerate(CLASSES.items())
    ]
    told = [
        ("verdict", None, 1.0, None, None, "the launches bear the classes out"),
        ("launch_correlation", None, 0.34, 0.31, 0.37, "over 6 launches"),
        ("reliability", None, 0.75, 0.73, 0.77, "of the score of somebody who has seen 6 launches"),
        ("split_half_kappa", None, 0.42, 0.38, 0.46, "every second launch against the others"),
        ("test_retest_kappa", None, 0.31, 0.28, 0.34, "earlier launches against later ones"),
        ("log_rank", "Goals", 280.0, None, None, "chi-square"),
        ("log_rank_p", "Goals", 0.0, None, None, "by chance"),
        ("log_rank_trend", "Goals", 16.2, None, None, "standard errors"),
        ("first_adopter_lift", "Goals", 2.74, 1.9, 3.96, "times more of the earliest 2 classes"),
    ]
    curves = [
        (place, "Goals", float(day), (0.6 - 0.2 * place) * day / 28, people)
        for place, people in enumerate((376, 1_552, 8_500))
        for day in range(0, 29, 7)
    ]
    moves = [("innovator", "innovator", 370), ("late", "innovator", 6), ("late", "late", 8_490), (None, "late", 4)]
    columns = ["as_of", "adoption_class", "class_name", "place", "people", "share", "model_id"]
    figures = ["measure", "launch", "value", "value_low", "value_high", "words"]
    return {
        "adoption_history": pl.DataFrame(history, schema=columns, orient="row"),
        "adoption_figures": pl.DataFrame(told, schema=figures, orient="row", infer_schema_length=None),
        "adoption_curves": pl.DataFrame(curves, schema=["place", "launch", "days", "value", "people"], orient="row"),
        "adoption_moves": pl.DataFrame(moves, schema=["from_class", "to_class", "people"], orient="row"),
    }


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
