"""Line models: how each kind of contract line takes work. A model is one module and one row here."""

from typing import Any, Protocol

from isthmus.events.contract import FixedFee, Line, Milestones, Retainer, Subscription, TimeAndMaterials
from isthmus.process.rules import milestone, retainer, scheduled, time_and_materials
from isthmus.process.rules.plan import Fit, Plan, Trouble
from isthmus.process.rules.rows import Terms, Work

__all__ = ["MODELS", "LineModel", "choose_line"]


class LineModel(Protocol):
    """How one kind of line takes work and what it asks for it."""

    def fit(self, line: Any, work: Work) -> Fit:
        """Whether the line takes the work, by name or because it takes any."""

    def plan(self, line: Any, newest: Any, work: Work, currency: str) -> Plan | Trouble:
        """How the work is billed on the line.

        Args:
            line: The line as it holds on the day of the work: its rates.
            newest: The line in the newest revision that has it: its included hours and caps, which
                bound one running total across all revisions.
        """


MODELS: dict[type[Line], LineModel] = {
    TimeAndMaterials: time_and_materials,
    Milestones: milestone,
    FixedFee: scheduled,
    Retainer: retainer,
    Subscription: scheduled,
}
"""Retainers take hours beside their periods; fixed fee and subscription take only what the calendar makes."""


def choose_line(terms: Terms, work: Work) -> Line | None:
    """The first line that names the work's service, else the first that takes any; None where none does."""
    fits = [(MODELS[type(line)].fit(line, work), line) for line in terms.lines]
    for wanted in ("named", "any"):
        for fit, line in fits:
            if fit == wanted:
                return line
    return None
