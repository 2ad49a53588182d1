"""milestone: the agreed amount, once, when it is achieved."""

from decimal import Decimal

from isthmus.events.contract import Milestones
from isthmus.events.values import quantum
from isthmus.process.rules.plan import Fit, Plan, Trouble, digits
from isthmus.process.rules.rows import Work


def fit(line: Milestones, work: Work) -> Fit:
    """The line that lists the milestone."""
    listed = work.origin == "milestone" and any(term.milestone == work.key for term in line.milestones)
    return "named" if listed else "no"


def plan(line: Milestones, newest: object, work: Work, currency: str) -> Plan | Trouble:
    """The amount as of the day it was achieved; in advance, the amount that fell due. No caps."""
    term = next(term for term in line.milestones if term.milestone == work.key)
    return Plan(
        line=line.line,
        pot=line.line,
        origin="milestone",
        total=work.quantity if work.in_advance else term.amount,
        price=Decimal(1),
        per_hour=False,
        step=quantum(currency),
        dimensions=line.dimensions or {},
        words=[
            f"line {line.line}: {work.title}"
            if work.in_advance
            else f"line {line.line}: milestone {term.title}, {digits(term.amount, currency)} {currency}"
        ],
        overage_price=Decimal(1),
        in_advance=work.in_advance or term.advance,
    )
