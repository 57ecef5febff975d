"""The labels of all people as one CSV for people to read: what is told, then why nothing is, then by which model.

Here belongs the layout of that file: its columns, their order and their words. What the labels are was decided where
they were made.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from activation.spreadsheets import SURELY_HARMLESS_FROM, harmless, is_formula

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""What makes spreadsheets read letters with accents as such."""

_RESULTS = (
    ("as_of", "Known up to", "The date up to which, exclusively, everything known about the person was counted."),
    ("contact_id", "Contact", "The person's id in the system that delivered the contact."),
    ("person_id", "Person", "The pipeline's key for the person; the file is sorted by it."),
    ("persona_name", "Persona", "The persona found in the data, by its name."),
    ("membership_strength", "Persona: how surely", "How probable it is that the person belongs to it, 0 to 1."),
    ("defined_persona_name", "Your persona", "The persona that you defined in personas.yml."),
    ("defined_membership_strength", "Your persona: how surely", "How probable that is, 0 to 1."),
    ("adoption_class_name", "Adoption class", "How early the person tries new things, as a class."),
    ("message_style", "Message style", "The style of message that suits the person's group."),
    ("approach_1", "First approach", "The way of persuading that suits the group best."),
    ("approach_2", "Second approach", "The next."),
    ("approach_3", "Third approach", "The next."),
    ("persuasion_evidence", "Approaches rest on", "Answers that were observed, or the default of the class."),
    ("withheld_approaches", "Do not use", "Ways of persuading that your block list keeps from this person."),
    ("brand_score", "Brand", "How much the person cares for the brand, 0 to 1; 0.5 is one fresh mention."),
    ("trigger_score", "Triggers", "The same for your triggers."),
    ("trigger_phrase", "Strongest trigger", "The trigger the person responds to most."),
    ("event_score", "Events", "The same for happenings that signal an opportunity."),
    ("event_phrase", "Strongest event", "The happening there are most signs of."),
    ("target_score", "Targets", "How like your targets the person is, 0 to 1."),
    ("target_phrase", "Most like", "The target the person is most like."),
)
_REASONS = (
    ("persona_abstained_reason", "Why no persona", "Why no persona is told; empty where one is."),
    ("adoption_abstained_reason", "Why no adoption class", "Why the person is in no class."),
    ("persuasion_abstained_reason", "Why no approach", "Why no way of persuading is told."),
    ("affinity_abstained_reason", "Why no scores", "Why nothing is said of brand, triggers, events and targets."),
)
_MODELS = (
    ("persona_model_id", "Model of persona", "The model that placed the person."),
    ("defined_persona_model_id", "Model of your persona", "The model of your definitions."),
    ("adoption_model_id", "Model of adoption class", "The cut points that placed the person."),
    ("persuasion_model_id", "Model of approaches", "The estimates the approaches come from."),
    ("affinity_model_id", "Model of scores", "The weights of words that the scores were made with."),
)
_IN_WORDS = ("adoption_class_name", "message_style", "approach_1", "approach_2", "approach_3", "withheld_approaches")


@dataclass(frozen=True)
class LabelColumn:
    """One column of the file: where it comes from, its heading, and what it says."""

    source: str
    heading: str
    words: str


def label_columns(targets: Sequence[str]) -> list[LabelColumn]:
    """The columns of the file in a workspace with these targets, in order."""

    def of_targets(suffix: str, heading: str, words: str) -> list[LabelColumn]:
        return [LabelColumn(f"{name}_{suffix}", f"{_words(name)}: {heading}", words) for name in targets]

    probable = [
        column
        for pair in zip(
            of_targets("band", "band", "Band of the probability; empty where nothing is said."),
            of_targets("probability", "probability", "How likely the person does it, 0 to 1, within its time."),
            strict=True,
        )
        for column in pair
    ]
    return [
        *(LabelColumn(*column) for column in _RESULTS),
        *probable,
        *(LabelColumn(*column) for column in _REASONS),
        *of_targets("abstained_reason", "why nothing is said", "Why there is no probability."),
        *(LabelColumn(*column) for column in _MODELS),
        *of_targets("model_id", "model", "The model that said so."),
    ]


def write_label_file(labels: Iterable[pl.DataFrame], path: Path, targets: Sequence[str]) -> int:
    """Write the labels of people, in the order they come, some at a time.

    Args:
        labels: Frames with a column per `LabelColumn.source`; as_of a date, scores and probabilities from 0 to 1, all
            else text; null where nothing is told.
        path: The file; UTF-8 with a byte order mark, lines end with CR LF.
        targets: The workspace's targets.

    Returns:
        How many people were written.

    Raises:
        ValueError: A frame lacks a column.
    """
    columns = label_columns(targets)
    people = 0
    with path.open("wb") as file:
        file.write(BYTE_ORDER_MARK)
        pl.DataFrame(schema={column.heading: pl.String for column in columns}).write_csv(file, line_terminator="\r\n")
        for frame in labels:
            missing = [column.source for column in columns if column.source not in frame.columns]
            if missing:
                raise ValueError(f"Labels lack the columns {', '.join(missing)}")
            harmful = _harmful(frame, [column.source for column in columns])
            frame.select(_told(column, frame.schema[column.source], harmful) for column in columns).write_csv(
                file, include_header=False, line_terminator="\r\n", float_precision=3, float_scientific=False
            )
            people += frame.height
    return people


def _harmful(frame: pl.DataFrame, names: Sequence[str]) -> set[str]:
    """The columns with a text that a spreadsheet would run; hardly ever one, so the others are written as they are."""
    texts = [name for name in names if frame.schema[name] == pl.String]
    lowest = frame.select(pl.col(texts).min()).row(0, named=True)  # found in a fifth of the time
    doubtful = [name for name in texts if lowest[name] is not None and lowest[name] < SURELY_HARMLESS_FROM]
    found = frame.select(is_formula(pl.col(name)).any() for name in doubtful)
    return {name for name in found.columns if found[name].item()}


def _told(column: LabelColumn, kind: pl.DataType, harmful: Collection[str]) -> pl.Expr:
    value = pl.col(column.source)
    if kind == pl.String and column.source in _IN_WORDS:
        value = value.str.replace_all("_", " ", literal=True)
    if column.source in harmful:
        value = harmless(value)
    return value.alias(column.heading)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
