"""How one piece of work is billed on the line that takes it; what a line model answers."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from isthmus.events.contract import Overage
from isthmus.events.finance import Origin
from isthmus.events.values import minor_digits

Fit = Literal["named", "any", "no"]


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A check that failed: the hold's reason code and its words."""

    reason: str
    detail: str
    queues: tuple[str, ...] = ()
    """The queues it waits in; empty means its project's."""


@dataclass(frozen=True, kw_only=True)
class Lot:
    """Hours that are paid already: a line's included hours, or those of one period of a retainer."""

    key: str
    hours: Decimal


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Quantity, price and bounds of one piece of work."""

    line: str
    pot: str
    """The running total the caps bound."""
    origin: Origin
    """What its charges say they come from."""
    total: Decimal
    """The whole quantity: hours, an expense's marked-up amount, or 1."""
    price: Decimal
    per_hour: bool
    """Whether the quantity is hours; otherwise a charge is 1 x its amount."""
    step: Decimal
    """What a split part is a multiple of."""
    dimensions: dict[str, str]
    words: list[str]
    """How the total and the price came about, for the explanation."""
    lots: tuple[Lot, ...] = ()
    """Hours to use up first, in this order."""
    cap_amount: Decimal | None = None
    cap_hours: Decimal | None = None
    overage: Overage = "hold"
    overage_price: Decimal
    in_advance: bool = False
    """Billed before it is earned, so it is deferred."""


def digits(amount: Decimal, currency: str) -> str:
    """An amount as people read it: at least the currency's minor digits, never an exponent."""
    shown = max(minor_digits(currency), -int(amount.normalize().as_tuple().exponent))
    return f"{amount:.{shown}f}"
