"""retainer: an amount for each period, with hours in it; hours beyond cost the overage rate."""

from isthmus.events.contract import Retainer
from isthmus.process.rules import scheduled
from isthmus.process.rules.plan import Fit, Lot, Plan, Trouble, digits
from isthmus.process.rules.rows import Work
from isthmus.process.rules.schedules import lot_of, retainer_lots
from isthmus.process.rules.time_and_materials import HOUR_STEP


def fit(line: Retainer, work: Work) -> Fit:
    """Its own periods, and hours by service within its span."""
    if work.origin != "time":
        return scheduled.fit(line, work)
    if lot_of(line, work.done_on) is None:
        return "no"
    if line.services is None:
        return "any"
    return "named" if work.service in line.services else "no"


def plan(line: Retainer, newest: object, work: Work, currency: str) -> Plan | Trouble:
    """Hours draw from the lots of the newest revision; what is beyond costs the rate as of the day."""
    if work.origin != "time":
        return scheduled.plan(line, newest, work, currency)
    bounds = newest if isinstance(newest, Retainer) else line
    rate = line.overage_rate
    lots = retainer_lots(bounds, work.done_on)
    return Plan(
        line=line.line,
        pot=line.line,
        origin="retainer_overage",
        total=work.quantity,
        price=rate,
        per_hour=True,
        step=HOUR_STEP,
        dimensions=line.dimensions or {},
        words=[
            f"line {line.line}: beyond the retainer's hours at {digits(rate, currency)} {currency} per hour"
        ],
        lots=tuple(Lot(key=f"{line.line}@{day}", hours=bounds.included_hours) for day in lots),
        overage_price=rate,
    )
