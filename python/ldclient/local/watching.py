"""Flag files as they are now: reads them, notices changes, and never takes half a file for the whole.

Reading and merging the format is left to the native ``read_flag_files``; what changed between two readings to
``ldclient.local.served``.

1. A change is a difference in modification time, size or inode of any file, looked for by polling ``stat``: it works
   on every file system and with every editor.
2. A file replaced in one step (new inode) is read at once. A file written in place must have been quiet for one poll:
   the first half of a YAML file is a valid file with fewer flags.
3. A file read within a second of its change is read once more a second later: another change in the same tick of the
   file system's clock leaves the same time stamp.
4. An error is reported once, after it has outlived one poll; the next good reading is reported as a recovery.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ldclient import _ldclient

__all__ = ["FlagFiles"]

_TICK = 1.0

# (mtime in ns, size, inode) of each file; None for a file that is not there.
_Stat = tuple[int, int, int] | None


class FlagFiles:
    """A set of flag files that is read together.

    ``poll`` is called again and again by one thread; it neither waits nor starts anything.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = [str(path) for path in paths]
        self._seen: list[_Stat] = []
        self._read: list[_Stat] = []
        self._read_again_at: float | None = None
        self._failing_since: list[_Stat] | None = None
        self._reported: str | None = None

    def read(self) -> dict[str, Any]:
        """Reads all files now: ``{"flags": {…}, "segments": {…}}``.

        Raises ValueError with file and position when one is missing or malformed.
        """
        self._seen = self._stats()
        self._taken(self._seen)
        return self._parse()

    def poll(self) -> tuple[dict[str, Any] | None, str | None]:
        """Looks for a change. Returns (new data or None, a line worth telling the developer or None)."""
        before, self._seen = self._seen, self._stats()
        due = self._read_again_at is not None and time.monotonic() >= self._read_again_at
        if self._seen == self._read and not due:
            return None, None
        if self._seen != before and not all(_replaced(old, new) for old, new in zip(before, self._seen, strict=True)):
            return None, None
        stats = self._seen
        try:
            data = self._parse()
        except ValueError as error:
            return None, self._failed(str(error), stats)
        if self._stats() != stats:
            return None, None
        self._taken(stats)
        self._failing_since = None
        recovered, self._reported = self._reported is not None, None
        return data, "the flag files are good again: serving them" if recovered else None

    def _failed(self, problem: str, stats: list[_Stat]) -> str | None:
        if self._failing_since != stats:
            self._failing_since = stats
            return None
        self._taken(stats)
        if problem == self._reported:
            return None
        self._reported = problem
        return f"error: {problem}; still serving the last good data"

    def _parse(self) -> dict[str, Any]:
        try:
            data = json.loads(_ldclient.read_flag_files(self.paths))
        except OSError as error:
            raise ValueError(f"cannot read {error.filename or ', '.join(self.paths)}: {error.strerror}") from error
        if not isinstance(data, dict):
            raise ValueError("the flag files must hold an object with flags, flagValues or segments")
        return data

    def _stats(self) -> list[_Stat]:
        return [_stat(path) for path in self.paths]

    def _taken(self, stats: list[_Stat]) -> None:
        """Marks these stats as dealt with, and plans the second look of rule 3."""
        again = stats != self._read and any(stat and abs(time.time() - stat[0] / 1e9) < _TICK for stat in stats)
        self._read = stats
        self._read_again_at = time.monotonic() + _TICK if again else None


def _stat(path: str) -> _Stat:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _replaced(old: _Stat, new: _Stat) -> bool:
    """Whether the change from old to new can only be a whole file put in the place of another, or no change."""
    return old == new or (old is not None and new is not None and old[2] != new[2])
