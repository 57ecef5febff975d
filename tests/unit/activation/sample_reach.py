"""What the sample report says of reaching people: their value, preferences, persuasion, uplift and adoption."""

from datetime import timedelta

import polars as pl
from sample_company import AS_OF, PERSONAS


def reach() -> dict[str, pl.DataFrame]:
    """Frames of the report by field."""
    return {
        "values": _values(),
        "preferences": _preferences(),
        "persuasion": _persuasion(),
        "uplift": _uplift(),
        **_adoption(),
    }


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
