"""The command tree. Each command imports what it needs when it runs, so that ``--help`` is quick."""

from cyclopts import App

from isthmus.cli.commands.api import api
from isthmus.cli.commands.audit import audit
from isthmus.cli.commands.billing import billing
from isthmus.cli.commands.close import close
from isthmus.cli.commands.config import config
from isthmus.cli.commands.connectors import connector
from isthmus.cli.commands.cursors import cursor
from isthmus.cli.commands.daemon import demo, resume, run, simulate, status
from isthmus.cli.commands.db import db
from isthmus.cli.commands.events import event
from isthmus.cli.commands.exceptions import exception
from isthmus.cli.commands.lanes import lane, shadow
from isthmus.cli.commands.notify import notify
from isthmus.cli.commands.reconcile import reconcile

__all__ = ["app"]

app = App(
    name="isthmus",
    help_format="plaintext",  # the default loads a Markdown reader, which takes half of the time of --help
    help="Keeps a firm's CRM, PSA, ERP and planner in step: nothing lost, nothing doubled.",
    version=lambda: __import__("importlib.metadata").metadata.version("isthmus"),
)
for command in (run, simulate, demo, status, resume):
    app.command(command)
for group in (
    event,
    exception,
    lane,
    shadow,
    connector,
    cursor,
    config,
    billing,
    close,
    audit,
    db,
    api,
    notify,
    reconcile,
):
    app.command(group)
