"""`isthmus connector list` and `info`: what is installed, and what a connector offers and needs."""

import ast
import inspect
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import trio

from isthmus.app.run import Bound, prepare
from isthmus.cli.connecting import near, open_configured, open_simulated, said_by_peer
from isthmus.cli.exits import PROBLEMS, Leave
from isthmus.cli.output import Format, say, show, show_one
from isthmus.cli.places import config_directory
from isthmus.config import ConfigError
from isthmus.config.load import gather
from isthmus.events.samples import sample
from isthmus.process.registry import PROCESSES
from isthmus.runtime.plugins import Plugins, installed_distributions, load_plugins
from isthmus.runtime.simulators import simulator_of
from isthmus.sdk.connector import Connector, Opened, Sink
from isthmus.sdk.secret import Secret

__all__ = ["list_connectors", "tell_connector"]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the list: a connector, or a distribution that is not used."""

    connector: str
    title: str
    distribution: str
    version: str
    api: str
    state: Literal["allowed", "installed", "quarantined"]
    instances: Sequence[str]
    """Names under which the configuration uses it."""
    reason: str


def list_connectors(config: Path | None, output: Format) -> None:
    """Print every installed plugin. Without a configuration there is no allow-list, and all are loaded."""
    directory = config_directory(config)
    if (directory / "isthmus.toml").is_file():
        _, found = gather(directory, processes=PROCESSES)
        plugins, state = load_plugins(found.daemon.plugins), "allowed"
        used = {instance: given.plugin for instance, given in found.connectors.items()}
    else:
        say(f"no configuration in {directory}: every installed plugin is shown, none is allowed to run")
        plugins, state = load_plugins(installed_distributions()), "installed"
        used = {}
    columns = ["connector", "title", "distribution", "version", "api", "state", "instances", "reason"]
    show(_rows(plugins, state, used), columns, output)


def _rows(plugins: Plugins, state: str, used: dict[str, str]) -> list[Listed]:
    rows = [
        Listed(
            connector=name,
            title=connector.title,
            distribution=plugins.origins[name].distribution,
            version=plugins.origins[name].version,
            api=".".join(map(str, connector.api)),
            state="allowed" if state == "allowed" else "installed",
            instances=[instance for instance, plugin in used.items() if plugin == name],
            reason="",
        )
        for name, connector in sorted(plugins.connectors.items())
    ]
    versions = installed_distributions()
    rows += [
        Listed(
            connector="",
            title="",
            distribution=distribution,
            version=versions.get(distribution, ""),
            api="",
            state="quarantined",
            instances=[],
            reason=reason,
        )
        for distribution, reason in sorted(plugins.quarantined.items())
    ]
    return rows


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of a plugin."""

    name: str
    type: str
    default: str | None
    """As TOML has it; None where there is none."""
    required: bool
    secret: bool
    about: str


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector is, needs and offers."""

    connector: str
    title: str
    distribution: str
    version: str
    api: str
    asked: str
    """What was opened to learn the rest: an instance, or the plugin's own simulator."""
    capabilities: Sequence[str]
    streams: Sequence[str]
    accepts: dict[str, str]
    """The delivery class of each kind it takes; ``?`` where it depends on the fact."""
    batch_max: int | None
    concurrency: int | None
    worst_commit_s: float | None
    census: Sequence[str]
    settings: Sequence[Setting]


def tell_connector(config: Path | None, name: str, output: Format) -> None:
    """Print what a plugin, or a configured instance, is and needs.

    Raises:
        Leave: there is no such plugin or instance (exit 1).
    """
    bound = _bound(config)
    instance = name if bound is not None and name in bound.config.connectors else None
    plugin = name
    if bound is not None and instance is not None:
        plugin = bound.config.connectors[instance].plugin
    plugins = load_plugins(installed_distributions())
    connector = plugins.connectors.get(plugin)
    if connector is None:
        raise Leave(PROBLEMS, f"no plugin or instance {name!r}; {near(name, plugins.connectors)}")

    async def ask() -> tuple[str, Opened]:
        if bound is not None and instance is not None:
            async with open_configured(bound, instance) as opened:
                return f"instance {instance}", opened
        simulator = simulator_of(connector)
        if simulator is None:
            return "nothing: it has no simulator, and no instance was named", Opened()
        async with open_simulated(connector, simulator) as opened:
            return "its simulator", opened

    async def main() -> tuple[str, Opened]:
        return await said_by_peer(ask)

    asked, opened = trio.run(main)
    origin = plugins.origins[plugin]
    offer = _offer(connector, opened, asked, origin.distribution, origin.version)
    if output == "table":
        _print(offer)
    else:
        show_one(offer, output)


def _bound(config: Path | None) -> Bound | None:
    """The configuration where there is one that can be used; a plugin can be looked at without."""
    directory = config_directory(config)
    if not (directory / "isthmus.toml").is_file():
        return None
    try:
        return prepare(directory)
    except ConfigError:
        say(f"{directory} has problems, so no instance is looked at; see: isthmus config check")
        return None


def _offer(connector: type[Connector], opened: Opened, asked: str, distribution: str, version: str) -> Offer:
    sink = opened.sink
    parts = ("source", "sink", "probe", "census", "discover")
    return Offer(
        connector=connector.name,
        title=connector.title,
        distribution=distribution,
        version=version,
        api=".".join(map(str, connector.api)),
        asked=asked,
        capabilities=[part for part in parts if getattr(opened, part) is not None],
        streams=[] if opened.source is None else list(opened.source.streams),
        accepts={} if sink is None else {kind: _class_of(sink, kind) for kind in sorted(sink.accepts)},
        batch_max=None if sink is None else sink.batch_max,
        concurrency=None if sink is None else sink.concurrency,
        worst_commit_s=None if sink is None else sink.worst_commit_s,
        census=[] if opened.census is None else sorted(opened.census.kinds),
        settings=settings_table(connector.Settings),
    )


def _class_of(sink: Sink, kind: str) -> str:
    try:
        return sink.delivery_class(sample(kind)).value
    except Exception:  # noqa: BLE001  a sample has only what every fact of the kind has
        return "?"


def settings_table(settings: type[msgspec.Struct]) -> list[Setting]:
    """Each setting with its type, default and the words of its author."""
    written = _docstrings(settings)
    return [
        Setting(
            name=field.encode_name,
            type=_type_words(field.type),
            default=None if field.required else _default(field),
            required=field.required,
            secret=_holds(field.type, Secret),
            about=_described(field.type) or written.get(field.name, ""),
        )
        for field in msgspec.structs.fields(settings)
    ]


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    match value:
        case None:
            return "none"
        case Secret():
            return "***"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case dict() | list() | tuple() | set() | frozenset() if not value:
            return "{}" if isinstance(value, dict) else "[]"
    return str(value)


def _described(wanted: Any) -> str:
    """The description of an ``Annotated`` type."""
    if get_origin(wanted) is Annotated:
        for each in get_args(wanted)[1:]:
            if isinstance(each, msgspec.Meta) and each.description:
                return each.description
    return ""


def _docstrings(settings: type) -> dict[str, str]:
    """The sentence below each attribute in the source; none where there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(settings)))
    except (OSError, TypeError, SyntaxError):
        return {}
    body = tree.body[0].body if tree.body and isinstance(tree.body[0], ast.ClassDef) else []
    found: dict[str, str] = {}
    for one, following in pairwise(body):
        match one, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ):
                found[name] = " ".join(text.split())
    return found


def _holds(wanted: Any, part: type) -> bool:
    return wanted is part or any(_holds(each, part) for each in get_args(wanted))


def _type_words(wanted: Any) -> str:
    """A type as an admin would say it."""
    if get_origin(wanted) is Annotated:
        wanted = get_args(wanted)[0]
    names: dict[Any, str] = {
        str: "text",
        int: "number",
        float: "number",
        bool: "true or false",
        Secret: "credential",
        Path: "path",
        type(None): "none",
    }
    origin, arguments = get_origin(wanted), get_args(wanted)
    if wanted in names:
        return names[wanted]
    if origin is Literal:
        return " or ".join(f'"{each}"' for each in arguments)
    if origin is dict:
        return f"table of {_type_words(arguments[1])}"
    if origin in (list, tuple, set, frozenset):
        return f"list of {_type_words(arguments[0])}"
    if arguments:
        return " or ".join(words for each in arguments if (words := _type_words(each)) != "none")
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return "table"
    return str(getattr(wanted, "__name__", wanted)).lower()


def _print(offer: Offer) -> None:
    print(f"{offer.title} ({offer.connector}), {offer.distribution} {offer.version}, api {offer.api}")
    print(f"asked: {offer.asked}\n")
    print(f"offers   {', '.join(offer.capabilities) or 'unknown'}")
    print(f"reads    {', '.join(offer.streams) or 'nothing'}")
    print(f"counts   {', '.join(offer.census) or 'nothing'}")
    if offer.accepts:
        print(
            f"writes   at most {offer.batch_max} at once, {offer.concurrency} calls at a time;"
            f" class B waits {offer.worst_commit_s:g} s\n"
        )
        rows = [{"kind": kind, "delivery_class": letter} for kind, letter in offer.accepts.items()]
        show(rows, ["kind", "delivery_class"], "table")
    print()
    show(offer.settings, ["name", "type", "default", "required", "secret", "about"], "table")
