"""time_and_materials: hours at a rate, expenses with mark-up, within included hours and caps."""

from decimal import Decimal

from isthmus.events.contract import TimeAndMaterials
from isthmus.events.values import quantum, round_money
from isthmus.process.rules.plan import Fit, Lot, Plan, Trouble, digits
from isthmus.process.rules.rows import Work

HOUR_STEP = Decimal("0.01")


def fit(line: TimeAndMaterials, work: Work) -> Fit:
    """Hours by service; expenses go to a line that takes expenses, whatever its services."""
    if work.origin == "expense":
        return "any" if line.expenses else "no"
    if work.origin != "time":
        return "no"
    if line.services is None:
        return "any"
    return "named" if work.service in line.services else "no"


def plan(line: TimeAndMaterials, newest: object, work: Work, currency: str) -> Plan | Trouble:
    """Rates as of the day of the work, included hours and caps of the newest revision."""
    bounds = newest if isinstance(newest, TimeAndMaterials) else line
    if work.origin == "expense":
        return _expense(line, bounds, work, currency)
    rate = line.rates.get(work.service or "", line.default_rate)
    if rate is None:
        return Trouble(
            reason="no_rate",
            detail=f"lines.{line.line}.rates has no {work.service}, and there is no default_rate; amend one",
        )
    return Plan(
        line=line.line,
        pot=line.line,
        origin="time",
        total=work.quantity,
        price=rate,
        per_hour=True,
        step=HOUR_STEP,
        dimensions=line.dimensions or {},
        words=[f"line {line.line}: {work.service} at {digits(rate, currency)} {currency} per hour"],
        lots=() if bounds.included_hours is None else (Lot(key=line.line, hours=bounds.included_hours),),
        cap_amount=bounds.cap_amount,
        cap_hours=bounds.cap_hours,
        overage=line.overage,
        overage_price=line.overage_rate or rate,
    )


def _expense(line: TimeAndMaterials, bounds: TimeAndMaterials, work: Work, currency: str) -> Plan | Trouble:
    if work.currency != currency:
        return Trouble(
            reason="currency_mismatch",
            detail=f"currency is {work.currency}, the contract is in {currency}; correct the expense",
        )
    markup = work.markup_pct or Decimal(0)
    total = round_money(work.quantity * (1 + markup / 100), currency)
    words = [f"line {line.line}: {work.category} {digits(work.quantity, currency)} {currency}"]
    if markup:
        words.append(f"mark-up {markup.normalize():f} % makes {digits(total, currency)} {currency}")
    return Plan(
        line=line.line,
        pot=f"{line.line}#expenses",
        origin="expense",
        total=total,
        price=Decimal(1),
        per_hour=False,
        step=quantum(currency),
        dimensions=line.dimensions or {},
        words=words,
        cap_amount=bounds.expense_cap,
        overage=line.overage,
        overage_price=Decimal(1),
    )
