"""The values events are made of: strict decimals, currencies, keys.

A decimal travels as a string and is refused unless it is plain ASCII digits with at most 15 before and 6
after the point. That keeps out NaN, exponents, underscores, blanks and full-width digits, all of which
`decimal.Decimal` would accept.
"""

import re
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import msgspec

DECIMAL_FORM = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?", re.ASCII)

if TYPE_CHECKING:
    Amount = Decimal
    Hours = Decimal
else:

    class _AnyDecimal(type):
        """Makes every `Decimal` an instance, so that msgspec takes what `decode_hook` returns."""

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, Decimal)

    class Amount(metaclass=_AnyDecimal):
        """A `Decimal` that was read through the strict form; money or a unit price."""

    class Hours(metaclass=_AnyDecimal):
        """A `Decimal` that was read through the strict form; hours."""


Currency = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$", description="ISO 4217 code")]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200, description="<master instance>:<id>")]
Instant = Annotated[datetime, msgspec.Meta(tz=True, description="RFC 3339 with offset")]

_CENT = Decimal("0.01")
# ISO 4217 minor units that differ from two; everything unlisted has two.
_MINOR_DIGITS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}


def minor_digits(currency: str) -> int:
    """Digits after the point that ``currency`` knows: JPY 0, EUR 2, KWD 3."""
    return _MINOR_DIGITS.get(currency, 2)


def quantum(currency: str) -> Decimal:
    """The smallest amount of ``currency``: ``0.01`` for EUR."""
    return Decimal(1).scaleb(-minor_digits(currency))


def round_money(amount: Decimal, currency: str) -> Decimal:
    """Round half up (away from zero) to the minor units of ``currency``."""
    return amount.quantize(quantum(currency), rounding=ROUND_HALF_UP)


def parse_decimal(text: object) -> Decimal:
    """Read a decimal in the strict form.

    Raises:
        ValueError: ``text`` is not a string, or not in the form.
    """
    if not isinstance(text, str):
        raise _no_decimal(text)
    return _parse(text)


@lru_cache(maxsize=4096)  # hours, rates and prices repeat; only what was in the form is kept
def _parse(text: str) -> Decimal:
    if DECIMAL_FORM.fullmatch(text) is None:
        raise _no_decimal(text)
    return Decimal(text)


def _no_decimal(found: object) -> ValueError:
    return ValueError(f'{str(found)[:40]!r} is no decimal; write a string such as "937.50"')


def decode_hook(wanted: type, value: object) -> object:
    """The ``dec_hook`` of every decoder that reads events or settings with decimals in them."""
    if wanted in (Amount, Hours):
        return parse_decimal(value)
    raise NotImplementedError(f"no rule to read a {wanted.__name__}")


def check_money(amount: Decimal, currency: str, field: str) -> None:
    """Refuse an amount that is not finite or has more digits than its currency.

    Raises:
        ValueError: naming ``field`` and what would be right.
    """
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{field} must be a finite number")
    if -exponent > minor_digits(currency) and amount != round_money(amount, currency):
        raise ValueError(f"{field} {amount} has more than the {minor_digits(currency)} digits of {currency}")


def check_hours(hours: Decimal, field: str) -> None:
    """Refuse hours that are not positive or have more than two digits.

    Raises:
        ValueError: naming ``field`` and what would be right.
    """
    if hours.same_quantum(_CENT) and hours > 0:
        return
    exponent = hours.as_tuple().exponent
    if not isinstance(exponent, int) or hours <= 0:
        raise ValueError(f"{field} must be more than 0")
    if exponent < -2:
        raise ValueError(f"{field} {hours} has more than two digits")
