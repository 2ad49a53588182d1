"""Fields of a Salesforce record as the values events are made of; what is wrong is said with its remedy."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from isthmus.events import quantum
from isthmus_salesforce.client import number


class Untranslatable(ValueError):
    """A record that cannot become an event; the text names record, field and remedy."""


class Row(msgspec.Struct, frozen=True):
    """A record of ``item`` under our field names."""

    item: str
    fields: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.fields["Id"])

    @property
    def deleted(self) -> bool:
        return self.fields["IsDeleted"] is True

    @property
    def stamp(self) -> datetime:
        """When it was last changed, by whomever.

        Raises:
            Untranslatable: there is no stamp.
        """
        try:
            return datetime.fromisoformat(self.fields["SystemModstamp"]).astimezone(UTC)
        except (TypeError, ValueError):
            raise self.wrong("SystemModstamp", "is no time") from None

    @property
    def revision(self) -> int:
        """The stamp in milliseconds: it grows with every change."""
        return int(self.stamp.timestamp() * 1000)

    def wrong(self, field: str, problem: str) -> Untranslatable:
        return Untranslatable(f"{field} of {self.item} {self.id} {problem}")

    def text(self, field: str) -> str | None:
        value = self.fields[field]
        return str(value).strip() or None if value is not None else None

    def need(self, field: str, remedy: str = "fill it in") -> str:
        """
        Raises:
            Untranslatable: the field is empty.
        """
        value = self.text(field)
        if value is None:
            raise self.wrong(field, f"is empty; {remedy}")
        return value

    def flag(self, field: str) -> bool:
        return self.fields[field] is True

    def day(self, field: str) -> date | None:
        value = self.text(field)
        try:
            return date.fromisoformat(value[:10]) if value else None
        except ValueError:
            raise self.wrong(field, f"is no date: {value}") from None

    def need_day(self, field: str) -> date:
        found = self.day(field)
        if found is None:
            raise self.wrong(field, "is empty; fill in the day")
        return found

    def decimal(self, field: str) -> Decimal | None:
        """A number, with trailing digits that are zero cut off."""
        try:
            value = number(self.fields[field])
        except ValueError as error:
            raise self.wrong(field, f"cannot be read: {error}") from None
        if value is None:
            return None
        if value != value.quantize(Decimal("1.000000")):
            raise self.wrong(field, f"is {value}; six digits after the point are the most")
        return value

    def money(self, field: str, currency: str) -> Decimal | None:
        """An amount or price with at least the digits of its currency: ``150.00``."""
        value = self.decimal(field)
        return None if value is None else _with_digits(value, quantum(currency))

    def need_money(self, field: str, currency: str) -> Decimal:
        found = self.money(field, currency)
        if found is None:
            raise self.wrong(field, "is empty; fill in the amount")
        return found

    def hours(self, field: str) -> Decimal | None:
        value = self.decimal(field)
        return None if value is None else _with_digits(value, Decimal("0.01"))

    def whole(self, field: str) -> int | None:
        value = self.decimal(field)
        if value is not None and value != value.to_integral_value():
            raise self.wrong(field, f"is {value}; it must be a whole number")
        return None if value is None else int(value)


def _with_digits(value: Decimal, step: Decimal) -> Decimal:
    """``value`` on the grid of ``step`` where it fits, else as it is."""
    rounded = value.quantize(step)
    return rounded if rounded == value else value
