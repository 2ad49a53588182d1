"""What the calendar makes due: an agreed amount, once, on its day. So are fixed fees and subscriptions."""

from decimal import Decimal

from isthmus.events.contract import Line
from isthmus.events.values import quantum
from isthmus.process.rules.plan import Fit, Plan, Trouble
from isthmus.process.rules.rows import SCHEDULED, Work


def fit(line: Line, work: Work) -> Fit:
    """The line that made it due."""
    return "named" if work.origin in SCHEDULED and work.line == line.line else "no"


def plan(line: Line, newest: object, work: Work, currency: str) -> Plan | Trouble:
    """The amount that was due on the day; no caps."""
    return Plan(
        line=line.line,
        pot=line.line,
        origin=work.origin,
        total=work.quantity,
        price=Decimal(1),
        per_hour=False,
        step=quantum(currency),
        dimensions=line.dimensions or {},
        words=[f"line {line.line}: {work.title}"],
        overage_price=Decimal(1),
        in_advance=work.in_advance,
    )
