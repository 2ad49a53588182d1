"""Arithmetic of charges: cumulative rounding, and how much of a quantity fits under a cap."""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from math import ceil

from isthmus.events.values import quantum, round_money


@dataclass(frozen=True, kw_only=True)
class SoFar:
    """Quantity and amount of a fact's standing charges on one line at one price."""

    quantity: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)


def next_amount(so_far: SoFar, quantity: Decimal, price: Decimal, currency: str) -> Decimal:
    """The amount of the next part: what makes all parts sum to the rounded whole."""
    return round_money((so_far.quantity + quantity) * price, currency) - so_far.amount


def fitting(
    so_far: SoFar, quantity: Decimal, price: Decimal, currency: str, step: Decimal, left: Decimal
) -> Decimal:
    """The largest part of ``quantity`` whose amount does not exceed ``left``.

    Returns:
        ``quantity`` itself when it fits, else a multiple of ``step``, 0 when nothing fits. Nothing fits
        into no room, even where the amount would round to nothing.
    """
    if left <= 0:
        return Decimal(0)
    if next_amount(so_far, quantity, price, currency) <= left:
        return quantity
    unit = quantum(currency)
    whole = ((so_far.amount + left) / unit).to_integral_value(ROUND_FLOOR) * unit
    # Half up: a total rounds to at most `whole` when it is below whole + unit/2.
    bound = (Fraction(whole) + Fraction(unit) / 2) / Fraction(price) - Fraction(so_far.quantity)
    steps = ceil(bound / Fraction(step)) - 1
    return max(Decimal(steps) * step, Decimal(0))


def room_for_cheapest(left: Decimal, cheapest: Decimal, step: Decimal, currency: str) -> bool:
    """Whether a part of one ``step`` at the price ``cheapest`` could fit into ``left``.

    Cumulative rounding may make a part cheaper than its price by less than one minor unit.
    """
    return left > 0 and left > cheapest * step - quantum(currency)
