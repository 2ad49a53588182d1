"""`isthmus run`: from a configuration directory to a daemon that serves until it is told to stop."""

import logging
import re
import signal
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import msgspec
import trio

from isthmus.app.daemon import Daemon
from isthmus.app.services import surroundings
from isthmus.app.status import status
from isthmus.config import (
    Config,
    ConfigError,
    NotifyConfig,
    Secrets,
    bind,
    bind_notify,
    check,
    listen_address,
    load,
)
from isthmus.config.load import gather
from isthmus.events.codec import KINDS
from isthmus.ops.admin import Acts, admin_app
from isthmus.ops.health import HealthCheck, ops_app
from isthmus.ops.logs import set_up
from isthmus.ops.metrics import Metrics
from isthmus.ops.notify import Notifier
from isthmus.ops.serve import serve
from isthmus.process.registry import PROCESSES
from isthmus.runtime.plugins import Plugins, load_plugins
from isthmus.services.app import services_app
from isthmus.store import audit
from isthmus.store.face import Store
from isthmus.store.open import open_store

log = logging.getLogger(__name__)

__all__ = ["Bound", "prepare", "quarantine", "run", "version"]

PULSE_S = 2.0
ANSWER_WITHIN_S = 10.0


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration whose plugins are loaded and whose settings were all understood."""

    config: Config
    plugins: Plugins
    settings: dict[str, msgspec.Struct]
    notify: dict[str, NotifyConfig]
    secrets: Secrets


def version() -> str:
    """The installed version."""
    return metadata.version("isthmus")


def prepare(directory: Path) -> Bound:
    """Read a configuration, load its plugins, check every setting; opens nothing.

    Raises:
        ConfigError: with every problem, each with its place and remedy.
    """
    _, found = gather(directory, processes=PROCESSES)
    plugins = load_plugins(found.daemon.plugins)
    secrets = Secrets(found.daemon.secrets_dir)
    problems = check(directory, plugins.connectors, processes=PROCESSES, secrets=secrets)
    if any(problem.severity == "error" for problem in problems):
        error = ConfigError(problems)
        for line in quarantine(found.daemon.plugins, plugins):
            error.add_note(line)
        raise error
    config = load(directory, processes=PROCESSES)
    settings = bind(config, plugins.connectors, secrets)
    notify = bind_notify(config, secrets)
    return Bound(config=config, plugins=plugins, settings=settings, notify=notify, secrets=secrets)


def quarantine(allowed: Sequence[str], plugins: Plugins) -> list[str]:
    """The allowed distributions that were not loaded, with the reason, a line each."""
    return [f"quarantined: {name}: {plugins.quarantined[name]}" for name in _missed(allowed, plugins)]


def _missed(allowed: Sequence[str], plugins: Plugins) -> list[str]:
    """The allowed distributions that were not loaded; any other is left out because nobody wants it."""
    wanted = {re.sub(r"[-_.]+", "-", entry.partition("==")[0].strip()).lower() for entry in allowed}
    return [name for name in plugins.quarantined if name in wanted]


async def run(bound: Bound, *, told: Callable[[str], None] = lambda line: None) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    Args:
        told: Hears where the listeners and the admin socket are.

    Raises:
        StoreLocked: another daemon works on the state directory.
        StoreRewound, StoreDamaged, SchemaTooNew: the state is not to be used as it is.
        StoreFailed: the disk failed under way; nothing more was acknowledged.
        CannotListen, SocketTaken: an address is not to be had.
    """
    config = bound.config
    metrics = Metrics()
    set_up(config.daemon.log_level, count=metrics.logged, secrets=bound.secrets.given)
    notifier = Notifier()
    async with open_store(config.daemon.state_dir) as store:
        daemon = Daemon(
            config,
            store,
            bound.plugins.connectors,
            bound.settings,
            metrics,
            notify=bound.notify,
            quarantined=_missed(config.daemon.plugins, bound.plugins),
        )
        _describe(daemon, bound, await store.read(lambda tx: str((tx.one("engine_version") or [""])[0])))
        async with trio.open_nursery() as nursery:
            stop = trio.Event()
            await nursery.start(_wait_signals, stop)
            pulse = Pulse(store)
            nursery.start_soon(pulse.run)
            listen = listen_address(config.daemon.ops_listen)
            app = ops_app(metrics, pulse.checks, lambda: _ready(daemon), hosts=config.daemon.ops_hosts)
            told(f"ops {await nursery.start(serve, app, listen)}")
            config.daemon.socket.parent.mkdir(parents=True, exist_ok=True)
            acts = Acts(
                status=lambda: status(daemon, version(), bound.plugins.quarantined),
                resume=daemon.parking.resume,
                poll=daemon.poll_now,
                notify_test=lambda owner, by: daemon.teller.test(owner, by=by),
                kinds_of=lambda lane: daemon.lanes[lane].kinds if lane in daemon.lanes else None,
                shadows=daemon.shadows,
                pairs=daemon.reconciler,
                pause=daemon.pausing.pause,
                unpause=daemon.pausing.resume,
            )
            told(f"admin {await nursery.start(serve, admin_app(daemon.desk, acts), config.daemon.socket)}")
            if config.services is not None:
                served = services_app(surroundings(daemon, config.services))
                listen = listen_address(config.services.listen)
                told(f"services {await nursery.start(serve, served, listen)}")
            await _note(store, daemon, "start")
            if notifier.watchdog_every_s is not None:
                nursery.start_soon(_feed_watchdog, notifier, store, notifier.watchdog_every_s)
            nursery.start_soon(_announce_stop, stop, notifier)

            async def work(*, task_status: trio.TaskStatus[None]) -> None:
                await daemon.work(stop, task_status=task_status)
                nursery.cancel_scope.cancel()

            await nursery.start(work)
            notifier.ready(f"{len(config.connectors)} connectors, {len(config.lanes)} lanes")
            told("ready")
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
            await _note(store, daemon, "stop")
            await daemon.sealer.seal()
            await daemon.sealer.anchor()


def _describe(daemon: Daemon, bound: Bound, sqlite: str) -> None:
    """Tell the metrics what runs, and the log what does not."""
    metrics = daemon.metrics
    metrics.running(version(), sqlite)
    metrics.prepare(list(bound.config.connectors), list(bound.config.lanes), sorted(KINDS))
    for instance, given in bound.config.connectors.items():
        origin = bound.plugins.origins[given.plugin]
        connector = bound.plugins.connectors[given.plugin]
        metrics.plugin(instance, plugin=given.plugin, version=origin.version, api=connector.api)
    for distribution, reason in bound.plugins.quarantined.items():
        log.warning("plugin.quarantined", extra={"connector": distribution, "reason": reason})


async def _note(store: Store, daemon: Daemon, act: str) -> None:
    at = daemon.now()
    detail = {"version": version(), "generation": store.generation}
    await store.write(lambda tx: audit.append(tx, "daemon", act, detail, at))


async def _wait_signals(
    stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """The first SIGTERM or SIGINT asks to stop; the second one stops at once.

    A SIGHUP changes nothing: the configuration is read at the start only, and the log says so.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP:
                log.warning("reload.ignored", extra={"reason": "restart to apply a changed configuration"})
                continue
            if stop.is_set():
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            stop.set()


async def _announce_stop(stop: trio.Event, notifier: Notifier) -> None:
    await stop.wait()
    notifier.stopping("draining")


def _ready(daemon: Daemon) -> list[HealthCheck]:
    return [
        HealthCheck(name="started", ok=daemon.ready or daemon.draining, detail="still starting"),
        HealthCheck(name="not-draining", ok=not daemon.draining, detail="the daemon is stopping"),
    ]


class Pulse:
    """Asks the writer every few seconds; `checks` says from memory when it last answered."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answered = trio.current_time()

    async def run(self) -> None:
        while True:
            await self._store.write(lambda tx: None)
            self._answered = trio.current_time()
            await trio.sleep(PULSE_S)

    def checks(self) -> list[HealthCheck]:
        silent_s = trio.current_time() - self._answered
        detail = f"no answer for {silent_s:.0f} s"
        return [
            HealthCheck(name="loop", ok=True),
            HealthCheck(name="writer", ok=silent_s < ANSWER_WITHIN_S, detail=detail),
        ]


async def _feed_watchdog(notifier: Notifier, store: Store, every_s: float) -> None:
    """Tell systemd that we live: only after the loop turned and the writer answered."""
    while True:
        await store.write(lambda tx: None)
        notifier.watchdog()
        await trio.sleep(every_s)
