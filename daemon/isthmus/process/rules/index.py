"""An ordered index made of small rows: adding, removing and walking cost the same at any size.

`States` has no range scan, and one row with all members would grow with the contract's history. So an
index is one row while it is small, and then for good a tree of fixed depth over the number of a fact: 32
children a row, six levels, a thousand million facts. Only the lowest row of a member changes, the ones above
it when that row is new or empty.
"""

from collections.abc import Iterator

import msgspec

from isthmus.process.face import States
from isthmus.process.rules.rows import Arrivals

_BITS, _LEVELS = 5, 6
_SMALL = 32


class Few(msgspec.Struct, frozen=True, kw_only=True):
    """The members of a small index by place, or the word that they are in a tree."""

    members: dict[int, str] = {}
    tree: bool = False


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """Up to 32 neighbours: the number's last five bits and the key of the fact's row."""

    members: dict[int, str] = {}


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the 32 rows below have members, ascending."""

    children: list[int] = []


def next_place(states: States) -> int:
    """The place of what is known for the first time now: behind everything known before."""
    row = states.get("arrivals", Arrivals) or Arrivals()
    states.put("arrivals", Arrivals(last=row.last + 1))
    return row.last + 1


def add(states: States, index: str, seq: int, key: str) -> None:
    """Put the fact ``key`` at its place ``seq``; once more changes nothing."""
    few = states.get(index, Few) or Few()
    if few.tree:
        _add(states, index, seq, key)
        return
    members = {**few.members, seq: key}
    if len(members) <= _SMALL:
        states.put(index, Few(members=dict(sorted(members.items()))))
        return
    for place, member in members.items():
        _add(states, index, place, member)
    states.put(index, Few(tree=True))


def discard(states: States, index: str, seq: int) -> None:
    """Take the fact at ``seq`` out; nothing when it is not in."""
    few = states.get(index, Few) or Few()
    if few.tree:
        _discard(states, index, seq)
    elif seq in few.members:
        members = {place: key for place, key in few.members.items() if place != seq}
        states.put(index, Few(members=members))


def walk(states: States, index: str) -> Iterator[tuple[int, str]]:
    """Members by place, oldest first; rows are read as the walk reaches them.

    A member may be taken out while walking.
    """
    few = states.get(index, Few) or Few()
    yield from _walk(states, index, 0, _LEVELS) if few.tree else few.members.items()


def _add(states: States, index: str, seq: int, key: str) -> None:
    leaf = states.get(_row(index, seq, 1), Leaf) or Leaf()
    members = {**leaf.members, seq % 32: key}
    states.put(_row(index, seq, 1), Leaf(members=dict(sorted(members.items()))))
    if leaf.members:
        return
    for level in range(2, _LEVELS + 1):
        branch = states.get(_row(index, seq, level), Branch) or Branch()
        child = (seq >> _BITS * (level - 1)) % 32
        if child not in branch.children:
            children = sorted([*branch.children, child])
            states.put(_row(index, seq, level), Branch(children=children))
        if branch.children:
            return


def _discard(states: States, index: str, seq: int) -> None:
    leaf = states.get(_row(index, seq, 1), Leaf)
    if leaf is None or seq % 32 not in leaf.members:
        return
    members = {place: key for place, key in leaf.members.items() if place != seq % 32}
    states.put(_row(index, seq, 1), Leaf(members=members))
    if members:
        return
    for level in range(2, _LEVELS + 1):
        branch = states.get(_row(index, seq, level), Branch) or Branch()
        child = (seq >> _BITS * (level - 1)) % 32
        children = [other for other in branch.children if other != child]
        states.put(_row(index, seq, level), Branch(children=children))
        if children:
            return


def _walk(states: States, index: str, prefix: int, level: int) -> Iterator[tuple[int, str]]:
    row = f"{index}/{level}/{prefix}"
    if level == 1:
        leaf = states.get(row, Leaf)
        for place, key in leaf.members.items() if leaf else ():
            yield prefix << _BITS | place, key
        return
    branch = states.get(row, Branch)
    for child in branch.children if branch else ():
        yield from _walk(states, index, prefix << _BITS | child, level - 1)


def _row(index: str, seq: int, level: int) -> str:
    return f"{index}/{level}/{seq >> _BITS * level}"
