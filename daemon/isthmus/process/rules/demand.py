"""What the terms of a contract ask of delivery: hours by service, and a budget. Pure."""

from collections.abc import Sequence
from datetime import date
from decimal import ROUND_FLOOR, Decimal

from isthmus.events.contract import ContractLine, Retainer, TimeAndMaterials
from isthmus.process.rules import schedules
from isthmus.process.rules.values import line_values

__all__ = ["ANY_SERVICE", "budget", "hours_by_service"]

ANY_SERVICE = "*"
"""The name of hours that any service may use."""
_STEP = Decimal("0.01")


def hours_by_service(lines: Sequence[ContractLine], ends_on: date | None) -> dict[str, Decimal]:
    """The hours that included hours and caps pay for.

    Hours that several services share stand under their names joined by `` + ``, those of a line for any
    service under `ANY_SERVICE`: whoever plans decides how to split them, not we.

    Returns:
        By service; a service that any line pays for without a bound is missing.
    """
    found: dict[str, Decimal] = {}
    unbounded: set[str] = set()
    for line in lines:
        if not isinstance(line, (TimeAndMaterials, Retainer)):
            continue
        name = " + ".join(sorted(_services(line))) or ANY_SERVICE
        hours = _timed(line) if isinstance(line, TimeAndMaterials) else _retained(line, ends_on)
        if hours is None:
            unbounded.add(name)
        else:
            found[name] = found.get(name, Decimal(0)) + hours
    return {name: hours for name, hours in sorted(found.items()) if name not in unbounded}


def budget(lines: Sequence[ContractLine]) -> Decimal | None:
    """The sum of the amounts the lines name; None where none does."""
    values = line_values(list(lines))
    return sum(values.values(), Decimal(0)) if values else None


def _services(line: TimeAndMaterials | Retainer) -> set[str]:
    if line.services is not None:
        return set(line.services)
    if isinstance(line, TimeAndMaterials) and line.default_rate is None:
        return set(line.rates)
    return set()


def _timed(line: TimeAndMaterials) -> Decimal | None:
    """Included hours, and the tighter cap. A cap in money is hours only at one rate."""
    if line.overage == "bill":
        return None  # hours beyond a cap are paid too
    caps = [] if line.cap_hours is None else [line.cap_hours]
    services = _services(line)
    rates = {line.rates.get(service, line.default_rate) for service in services}
    if not services and not line.rates:
        rates = {line.default_rate}
    rate = rates.pop() if len(rates) == 1 else None
    if line.cap_amount is not None and rate is not None:
        caps.append((line.cap_amount / rate).quantize(_STEP, ROUND_FLOOR))
    return (line.included_hours or Decimal(0)) + min(caps) if caps else None


def _retained(line: Retainer, ends_on: date | None) -> Decimal | None:
    """The included hours of all periods; None for a retainer without an end."""
    last = min((end for end in (line.ends_on, ends_on) if end is not None), default=None)
    if last is None:
        return None
    periods = schedules.items(
        "", line, currency="EUR", starts_on=line.starts_on, ends_on=last, until=min(last, date(2999, 12, 31))
    )
    return line.included_hours * sum(1 for _ in periods)
