"""What a configuration asks of a connector that it turns out not to offer, seen once it is open."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from isthmus.config import Config
from isthmus.config.places import KeyPath
from isthmus.sdk.connector import Opened

__all__ = ["misfits"]


def misfits(config: Config, instance: str, opened: Opened, lanes: Collection[str]) -> list[str]:
    """Each thing that can never work, in one line that begins with its place in the configuration.

    Args:
        lanes: The delivery lanes of the instance that are not off.
    """
    found = [*_unread(config, instance, opened), *_without_sink(config, instance, opened, lanes)]
    if opened.sink is not None:
        found += _unaccepted(config.routes, instance, opened.sink.accepts, lanes, config)
    return found


def _unread(config: Config, instance: str, opened: Opened) -> Iterable[str]:
    """Streams the configuration names and the source does not have."""
    given = config.connectors[instance]
    streams: Sequence[str] = opened.source.streams if opened.source is not None else ()
    for stream in given.read or ():
        if stream not in streams:
            there = f"it has {', '.join(streams)}" if streams else "it has no streams to read"
            yield _at(
                config,
                ("connectors", instance, "read"),
                f'connector "{instance}" ({given.plugin}) has no stream "{stream}"; {there}',
            )


def _without_sink(config: Config, instance: str, opened: Opened, lanes: Collection[str]) -> Iterable[str]:
    """Lanes that end in a connector that takes nothing."""
    if opened.sink is not None:
        return
    plugin = config.connectors[instance].plugin
    for lane in lanes:
        text = f'lane "{lane}" ends in connector "{instance}", but {plugin} takes no deliveries'
        yield _at(config, ("lanes", lane, "connector"), text)


def _unaccepted(
    routes: Mapping[str, Sequence[str]],
    instance: str,
    accepts: Collection[str],
    lanes: Collection[str],
    config: Config,
) -> Iterable[str]:
    """Routes of kinds that the connector does not know how to write."""
    plugin = config.connectors[instance].plugin
    for kind, names in routes.items():
        for lane in names:
            if lane in lanes and kind not in accepts:
                text = f'"{kind}" is routed to lane "{lane}", but connector "{instance}" ({plugin}) '
                text += f"does not take it; it takes {', '.join(sorted(accepts)) or 'nothing'}"
                yield _at(config, ("routes", kind, names.index(lane)), text)


def _at(config: Config, path: KeyPath, text: str) -> str:
    spot = config.places.spot(path)
    return f"{spot.file}:{spot.place.line}:{spot.place.column}: {text}"
