"""How a question or an act ends when it cannot be answered or done."""

__all__ = ["NotFound", "Refused"]


class NotFound(LookupError):
    """There is no such thing; the message names what was looked for and what is near."""


class Refused(Exception):
    """It must not be done so; the message says what to do instead."""
