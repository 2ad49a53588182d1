"""Secrets that cannot be printed by accident."""

import hmac
import weakref


class Secret:
    """A credential. It shows as ``***``; only `reveal` gives the value, at the place that sends it.

    While one lives, `isthmus.sdk.scrub` keeps its value out of errors and logs.
    """

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        key = id(self)
        _living[key] = weakref.ref(self, lambda _: _living.pop(key, None))

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)


_living: dict[int, weakref.ref[Secret]] = {}
"""By identity: equal secrets must not take each other out when one of them goes."""


def living() -> list[Secret]:
    """Every secret that somebody still holds."""
    return [secret for kept in list(_living.values()) if (secret := kept()) is not None]
