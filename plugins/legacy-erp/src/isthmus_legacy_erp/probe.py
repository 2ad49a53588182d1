"""Looks at the drop directory without changing it."""

import os
from datetime import timedelta

from isthmus.sdk import Check, Context, Probe
from isthmus_legacy_erp import names
from isthmus_legacy_erp.disk import FOLDERS, Drop
from isthmus_legacy_erp.names import DONE
from isthmus_legacy_erp.settings import LegacyErpSettings


class DropProbe(Probe):
    """Folders, rights, batches the ERP does not take, files that are not understood."""

    def __init__(self, ctx: Context, settings: LegacyErpSettings, drop: Drop) -> None:
        self._ctx = ctx
        self._settings = settings
        self._drop = drop

    async def checks(self) -> list[Check]:
        now_s = self._ctx.now().timestamp()
        return await self._ctx.run_blocking(self._look, now_s)

    def _look(self, now_s: float) -> list[Check]:
        folders = self._folders()
        if not folders.ok:
            return [folders]
        return [folders, self._one_file_system(), self._picked_up(now_s), self._understood()]

    def _folders(self) -> Check:
        bad = [
            name
            for name in FOLDERS
            if not os.access(self._drop.folder(name), os.R_OK | os.W_OK | os.X_OK, follow_symlinks=True)
        ]
        return Check(
            name="folders",
            ok=not bad,
            detail=f"cannot read and write: {', '.join(bad)}" if bad else "can be read and written",
            remedy=f"create them in {self._drop.root} and give the daemon's user read and write rights",
        )

    def _one_file_system(self) -> Check:
        devices = {self._drop.folder(name).stat().st_dev for name in FOLDERS}
        return Check(
            name="one_file_system",
            ok=len(devices) == 1,
            detail=f"the folders lie on {len(devices)} file system(s)",
            remedy="put all folders on one file system, so that a rename is whole or nothing",
        )

    def _picked_up(self, now_s: float) -> Check:
        """Whether the ERP takes our batches; one it leaves is never sent twice, but somebody must know."""
        waiting = []
        for name in self._drop.names("outbound"):
            if names.parse(name) is not None and self._drop.has("outbound", name + DONE):
                age_s = now_s - (self._drop.folder("outbound") / name).lstat().st_mtime
                if age_s > self._settings.pickup_s:
                    waiting.append((age_s, name))
        worst = max(waiting, default=(0.0, "no batch"))
        return Check(
            name="picked_up",
            ok=not waiting,
            detail=f"{len(waiting)} late; the oldest: {worst[1]}, {timedelta(seconds=round(worst[0]))}",
            remedy="see whether the ERP's import job runs, and whether it may read and move the files",
        )

    def _understood(self) -> Check:
        """Files in ``inbound`` whose names do not fit; they are never opened."""
        strange = [
            name
            for name in self._drop.names("inbound")
            if (file := names.parse(name.removesuffix(DONE))) is None
            or file.company != self._settings.company
        ]
        shown = ", ".join(ascii(name)[:60] for name in strange[:5])
        return Check(
            name="inbound_names",
            ok=not strange,
            detail=f"{len(strange)} not ours: {shown}" if strange else "all names fit",
            remedy="remove them, or correct the company or the name the ERP gives its files",
        )
