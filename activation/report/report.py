"""The persona report: one self-contained HTML page per week, for the people who talk to customers.

Here belongs the putting together. What a section says belongs to its own module, how it looks to the templates.
"""

from functools import cache
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from activation.report.defined import tell_defined
from activation.report.evidence import tell_evidence
from activation.report.identity import recognize_personas
from activation.report.lookalikes import tell_lookalikes
from activation.report.movement import tell_movement
from activation.report.outlook import tell_outlook
from activation.report.overview import tell_overview
from activation.report.persona_cards import tell_personas
from activation.report.reach import tell_reach
from activation.report.report_data import ReportData
from activation.report.sizes import tell_sizes
from activation.report.words import capitalized

__all__ = ["ReportData", "render_report"]


def render_report(data: ReportData) -> str:
    """Render one week's persona report.

    The page asks for nothing from outside (no script, no font, no picture; its content security policy forbids it),
    every value is escaped, and the same data give the same page. Groups of fewer than `data.minimum_cell` people are
    told as such and not described.

    Args:
        data: Aggregates of the week; see `ReportData` for each frame.

    Returns:
        The page as HTML text, to be written as UTF-8.
    """
    personas = recognize_personas(data)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            overview=tell_overview(data, personas),
            cards=tell_personas(data, personas),
            movement=tell_movement(data, personas),
            defined=tell_defined(data, personas),
            sizes=tell_sizes(data, personas),
            targets=tell_outlook(data, personas),
            reach=tell_reach(data, personas),
            lookalikes=tell_lookalikes(data),
            evidence=tell_evidence(data),
            minimum_cell=data.minimum_cell,
            model_id=data.model_id,
            as_of=data.as_of.isoformat(),
            week=data.week_start.isoformat(),
            timezone=data.timezone,
        )
    )


@cache
def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["capitalized"] = capitalized
    return environment
