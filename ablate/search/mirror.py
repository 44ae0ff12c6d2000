"""A copy of the Optuna study for optuna-dashboard. Nothing reads it back; its failures are logged once and ignored."""

import hashlib
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)


def default_address() -> Path:
    """The journal file in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ablate" / "optuna.journal"


class Mirror:
    """Adds finished trials to a study named after ours and its space, from a thread of its own."""

    def __init__(self, study: str, space: dict[str, Any], modes: list[str], address: str | None = None):
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it announces each study it makes
        digest = hashlib.sha256(json.dumps(space, sort_keys=True).encode()).hexdigest()[:8]
        self.name = f"{study} {digest}"
        self.address = address or str(default_address())
        self._modes = modes
        self._study: optuna.Study | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ablate-mirror")
        self._broken = False
        self._thread.submit(self._safely, self._open)

    def add(self, trial: FrozenTrial) -> None:
        """Copy a finished trial."""
        self._thread.submit(self._safely, lambda: self._copy(trial))

    def _copy(self, trial: FrozenTrial) -> None:
        if self._study is not None:
            self._study.add_trial(trial)

    def close(self) -> None:
        """Wait for what is under way."""
        self._thread.shutdown(wait=True)

    def _open(self) -> None:
        """Begin afresh: the searcher copies what the record knows of earlier trials first."""
        storage = self._storage()
        if self.name in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=self.name, storage=storage)
        kinds = optuna.study.StudyDirection
        directions = [kinds.MAXIMIZE if mode == "max" else kinds.MINIMIZE for mode in self._modes]
        self._study = optuna.create_study(study_name=self.name, storage=storage, directions=directions)

    def _storage(self) -> BaseStorage:
        if "://" in self.address:
            return RDBStorage(self.address)
        Path(self.address).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(self.address))

    def _safely(self, action: Any) -> None:
        try:
            if not self._broken:
                action()
        except Exception as error:
            self._broken = True
            log.warning("no copy for optuna-dashboard in %s (%s)", self.address, error)
