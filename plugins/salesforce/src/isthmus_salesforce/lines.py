"""Rows of ``Contract_Line__c`` as contract lines.

One row is one service's rate, one milestone or one instalment; rows with the same ``Line__c`` are one line.
"""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Literal, TypeVar, cast

from isthmus.events import (
    ContractLine,
    FixedFee,
    Installment,
    Milestones,
    MilestoneTerm,
    Retainer,
    Subscription,
    TimeAndMaterials,
)
from isthmus_salesforce.rows import Row, Untranslatable

T = TypeVar("T")


def contract_lines(rows: Sequence[Row], currency: str, key: Callable[[str], str]) -> list[ContractLine]:
    """The lines of a contract, in the order of their first rows.

    Args:
        key: makes our key of a row's id; milestones and instalments are named by it.

    Raises:
        Untranslatable: a row lacks what its model needs, or contradicts its neighbours.
    """
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.need("Line__c"), []).append(row)
    return [_line(name, group, currency, key) for name, group in grouped.items()]


def _line(name: str, rows: list[Row], currency: str, key: Callable[[str], str]) -> ContractLine:
    model = _one(rows, "Model__c", Row.text)
    try:
        match model:
            case "time_and_materials":
                return _time_and_materials(name, rows, currency)
            case "milestone":
                return Milestones(line=name, milestones=[_milestone(row, currency, key) for row in rows])
            case "fixed_fee":
                return _fixed_fee(name, rows, currency, key)
            case "retainer":
                return _retainer(name, rows, currency)
            case "subscription":
                return _subscription(name, rows, currency)
    except Untranslatable:
        raise
    except ValueError as error:
        raise Untranslatable(str(error)) from error
    known = "time_and_materials, milestone, fixed_fee, retainer, subscription"
    raise rows[0].wrong("Model__c", f"is {model}; it is one of {known}")


def _time_and_materials(name: str, rows: list[Row], currency: str) -> TimeAndMaterials:
    def money(row: Row, field: str) -> Decimal | None:
        return row.money(field, currency)

    default_rate = _one(rows, "Default_Rate__c", money)
    rates: dict[str, Decimal] = {}
    for row in rows:
        service, rate = row.text("Service__c"), money(row, "Rate__c")
        if service is None and rate is not None:
            raise row.wrong("Service__c", "is empty, but there is a rate; name it, or use Default_Rate__c")
        if service is None:
            continue
        if rate is None and default_rate is None:
            raise row.wrong("Rate__c", f"is empty; fill in the rate of {service}, or Default_Rate__c")
        if service in rates:
            raise row.wrong("Service__c", f"is {service}, as in another row of {name}; remove one")
        if rate is not None:
            rates[service] = rate
    return TimeAndMaterials(
        line=name,
        # A default rate takes whatever no other line names.
        services=None if default_rate is not None else _services(rows),
        rates=rates,
        default_rate=default_rate,
        included_hours=_one(rows, "Included_Hours__c", Row.hours),
        cap_amount=_one(rows, "Cap_Amount__c", money),
        cap_hours=_one(rows, "Cap_Hours__c", Row.hours),
        overage=_choice(rows, "Overage__c", ("hold", "bill", "write_off"), "hold"),
        overage_rate=_one(rows, "Overage_Rate__c", money),
        expenses=any(row.flag("Expenses__c") for row in rows),
        expense_cap=_one(rows, "Expense_Cap__c", money),
    )


def _milestone(row: Row, currency: str, key: Callable[[str], str]) -> MilestoneTerm:
    return MilestoneTerm(
        milestone=key(row.id),
        title=row.need("Title__c", "say what is to be achieved"),
        amount=row.need_money("Amount__c", currency),
        advance=row.flag("Advance__c"),
        planned_on=row.day("Planned_On__c"),
    )


def _fixed_fee(name: str, rows: list[Row], currency: str, key: Callable[[str], str]) -> FixedFee:
    parts = [
        Installment(
            key=key(row.id), due_on=row.need_day("Due_On__c"), amount=row.need_money("Amount__c", currency)
        )
        for row in rows
    ]
    return FixedFee(line=name, amount=sum((part.amount for part in parts), Decimal(0)), installments=parts)


def _retainer(name: str, rows: list[Row], currency: str) -> Retainer:
    def money(row: Row, field: str) -> Decimal | None:
        return row.money(field, currency)

    return Retainer(
        line=name,
        services=_services(rows),
        amount=_need(rows, "Amount__c", money),
        every=cast(Literal["month", "quarter"], _choice(rows, "Every__c", ("month", "quarter"))),
        starts_on=_need(rows, "Starts_On__c", Row.day),
        ends_on=_one(rows, "Ends_On__c", Row.day),
        included_hours=_one(rows, "Included_Hours__c", Row.hours) or Decimal("0.00"),
        overage_rate=_need(rows, "Overage_Rate__c", money),
        rollover=_choice(rows, "Rollover__c", ("none", "one_period", "all"), "none"),
    )


def _subscription(name: str, rows: list[Row], currency: str) -> Subscription:
    def money(row: Row, field: str) -> Decimal | None:
        return row.money(field, currency)

    starts_on: date = _need(rows, "Starts_On__c", Row.day)
    return Subscription(
        line=name,
        amount=_need(rows, "Amount__c", money),
        every=_choice(rows, "Every__c", ("month", "quarter", "year")),
        starts_on=starts_on,
        ends_on=_one(rows, "Ends_On__c", Row.day),
        in_advance=any(row.flag("In_Advance__c") for row in rows),
    )


def _services(rows: list[Row]) -> list[str] | None:
    named = [service for row in rows if (service := row.text("Service__c"))]
    return list(dict.fromkeys(named)) or None


def _one(rows: list[Row], field: str, read: Callable[[Row, str], T | None]) -> T | None:
    """The value that the rows of a line agree on; empty ones do not vote."""
    values = [value for row in rows if (value := read(row, field)) is not None]
    if len(set(values)) > 1:
        told = " and ".join(str(value) for value in dict.fromkeys(values))
        raise rows[0].wrong(field, f"differs between the rows of one line: {told}; make them equal")
    return values[0] if values else None


def _need(rows: list[Row], field: str, read: Callable[[Row, str], T | None]) -> T:
    value = _one(rows, field, read)
    if value is None:
        raise rows[0].wrong(field, "is empty; fill it in")
    return value


def _choice(rows: list[Row], field: str, known: tuple[str, ...], default: str | None = None) -> Any:
    value = _one(rows, field, Row.text) or default
    if value not in known:
        raise rows[0].wrong(field, f"is {value}; it is one of {', '.join(known)}")
    return value
