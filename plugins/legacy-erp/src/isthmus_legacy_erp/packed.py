"""Packed decimals (COMP-3): two digits in a byte, the sign in the last half byte.

C is plus and D minus, F is a number without sign. On the way in A and E are plus and B is minus too, as the
machines that made the format read them.
"""

from isthmus_legacy_erp.refusals import BytesRefused

PLUS, MINUS, NONE = 0xC, 0xD, 0xF
READ_PLUS = {0xA, 0xC, 0xE, 0xF}
READ_MINUS = {0xB, 0xD}


def width(digits: int) -> int:
    """Bytes of a packed number."""
    return digits // 2 + 1


def pack(minor: int, digits: int, *, signed: bool) -> bytes:
    """A number of at most ``digits`` digits; the caller has checked that it fits."""
    sign = NONE if not signed else MINUS if minor < 0 else PLUS
    halves = [*(int(digit) for digit in str(abs(minor)).zfill(2 * width(digits) - 1)), sign]
    return bytes(high << 4 | low for high, low in zip(halves[::2], halves[1::2], strict=True))


def unpack(raw: bytes, digits: int, *, signed: bool) -> int:
    """The number in ``raw``.

    Raises:
        BytesRefused: a half byte is no digit or no sign, or there are more digits than said.
    """
    halves = [half for byte in raw for half in (byte >> 4, byte & 0xF)]
    *numbers, sign = halves
    if any(half > 9 for half in numbers) or sign not in READ_PLUS | READ_MINUS:
        raise BytesRefused(f"{raw.hex()} is no packed number")
    minor = int("".join(str(half) for half in numbers))
    if len(str(minor)) > digits:
        raise BytesRefused(f"{raw.hex()} has more than {digits} digits")
    if sign in READ_MINUS and not signed:
        raise BytesRefused(f"{raw.hex()} is negative, the field has no sign")
    return -minor if sign in READ_MINUS else minor
