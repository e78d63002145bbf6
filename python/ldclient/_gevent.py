"""How a greenlet waits. Imported only where the application has imported gevent."""

from __future__ import annotations

import sys

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def sleep_of_this_greenlet() -> Callable[[float], object] | None:
    """Returns what lets other greenlets of this thread run meanwhile; None where there are none: a thread without a hub,
    and the hub itself, which cannot wait for itself."""
    hubs = sys.modules.get("gevent._hub_local")
    gevent = sys.modules["gevent"]
    hub = None if hubs is None else hubs.get_hub_if_exists()
    if hub is None or gevent.getcurrent() is hub:
        return None
    sleep: Callable[[float], object] = gevent.sleep
    return sleep
