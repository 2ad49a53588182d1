"""What a codec refuses, in both directions."""


class ValueRefused(ValueError):
    """A value does not fit its field; the message names the field and why."""


class BytesRefused(ValueError):
    """Bytes are not what the layout says; the message names the record, the field and why."""
