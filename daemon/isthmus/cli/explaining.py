"""`isthmus billing explain` on a screen: where it stands, then how it came to be, step by step."""

from collections.abc import Sequence
from typing import Any

import msgspec

from isthmus.cli.output import Format, show
from isthmus.ops.explain import Explanation

__all__ = ["print_explanations"]


def print_explanations(told: Sequence[Any], output: Format) -> None:
    """
    Args:
        told: Of `isthmus.ops.explain.Explanation`, as Structs or as plain values.
    """
    if output != "table":
        show(told, [], output)
        return
    explanations = msgspec.convert(msgspec.to_builtins(told), list[Explanation])
    print("\n\n".join("\n".join(_lines(each)) for each in explanations))


def _lines(told: Explanation) -> list[str]:
    lines = [told.origin_key, *(f"  {part}" for part in told.answer)]
    for decision in told.decisions:
        when = f"{decision.recorded_at:%Y-%m-%d %H:%M:%S}"
        stale = " (stale, changes nothing)" if decision.stale else ""
        lines += ["", f"{when}  {decision.what}{stale}", *(f"  {word}" for word in decision.words)]
    return lines
