"""Secrets that cannot be printed by accident."""

import hmac
import weakref


class Secret:
    """A credential. It shows as ``***``; only `reveal` gives the value, at the place that sends it.

    While one lives, and for a while after, `isthmus.sdk.scrub` keeps its value out of errors and logs.
    """

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        key = id(self)
        _living[key] = weakref.ref(self, lambda _: _retire(key, value))

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


RETIRED_MAX = 64

_retired: dict[str, None] = {}
"""The values that went last, the newest at the end."""


def _retire(key: int, value: str) -> None:
    """A session that was renewed may still stand in the answer to a call that began before."""
    _living.pop(key, None)
    _retired.pop(value, None)
    _retired[value] = None
    while len(_retired) > RETIRED_MAX:
        _retired.pop(next(iter(_retired)), None)


def revealed() -> set[str]:
    """The values of every secret that somebody still holds, and of those that went last."""
    held = {secret.reveal() for kept in list(_living.values()) if (secret := kept()) is not None}
    return held.union(list(_retired))
