"""The people in the middle of each persona, to be shown as examples.

Here belongs choosing them; what is shown of them, and under which name, with whoever draws the report.
"""

import numpy as np
import polars as pl

from ml.people_order import hash_sample
from ml.persona_tracking import GATE_SAMPLE, GATE_SEED
from ml.preparation import Preparation

TYPICAL_SCHEMA = {"persona_id": pl.String, "person_id": pl.UInt64, "rank": pl.Int64}


def typical_people(
    preparation: Preparation, features: pl.DataFrame, placed: pl.DataFrame, count: int = 3
) -> pl.DataFrame:
    """The people nearest to the middle of each persona (medoids), among up to 20,000 of everybody.

    Args:
        preparation: The fitted preparation of the model.
        features: One week.
        placed: person_id, persona_id.
        count: How many of each persona.

    Returns:
        By persona_id: persona_id, person_id, rank from 1.
    """
    sample = hash_sample(features, GATE_SAMPLE, GATE_SEED).join(
        placed.select("person_id", "persona_id"), on="person_id", maintain_order="left"
    )
    scores = preparation.transform(sample).astype(np.float64)
    parts = []
    for persona in sorted(sample["persona_id"].unique().to_list()):
        rows = np.flatnonzero((sample["persona_id"] == persona).to_numpy())
        away = ((scores[rows] - scores[rows].mean(axis=0)) ** 2).sum(axis=1)
        nearest = rows[np.argsort(away, kind="stable")[:count]]
        parts.append(
            pl.DataFrame(
                {
                    "persona_id": persona,
                    "person_id": sample["person_id"].gather(nearest),
                    "rank": range(1, len(nearest) + 1),
                },
                schema=TYPICAL_SCHEMA,
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame(schema=TYPICAL_SCHEMA)
