"""The registry of upcasts: each takes one retired shape to the next, until the shape is current."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from isthmus.events.base import BusinessEvent

_Step = Callable[[Any], BusinessEvent]
_steps: dict[type[BusinessEvent], _Step] = {}
F = TypeVar("F", bound=_Step)


def register(step: F) -> F:
    """Register ``step`` for the type its one argument is annotated with.

    Raises:
        TypeError: the type has an upcast already, or the argument is not annotated with an event type.
    """
    (argument,) = inspect.signature(step, eval_str=True).parameters.values()
    old = argument.annotation
    if not (isinstance(old, type) and issubclass(old, BusinessEvent)):
        raise TypeError("an upcast takes one argument, annotated with the retired event type")
    if old in _steps:
        raise TypeError(f"{old.__name__} has an upcast already")
    _steps[old] = step
    return step


def current(event: BusinessEvent) -> BusinessEvent:
    """Read an event in its newest shape; an event that is current comes back as it is."""
    while (step := _steps.get(type(event))) is not None:
        event = step(event)
    return event


def retired() -> frozenset[type[BusinessEvent]]:
    """The shapes that are only read."""
    return frozenset(_steps)


def fields_of(event: BusinessEvent) -> dict[str, Any]:
    """The fields of an event as keyword arguments for the next shape; the id is kept."""
    return {name: getattr(event, name) for name in event.__struct_fields__}
