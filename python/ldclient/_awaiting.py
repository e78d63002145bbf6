"""What coroutines wait for. No thread waits on their behalf: the native side ends a socket, which every loop can watch.

Works in asyncio (with any event loop) and in trio; whichever of them runs the calling task is used.
"""

from __future__ import annotations

import sys

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from ._ldclient import Client

__all__ = ["flags"]


async def flags(client: Client, timeout: float) -> bool:
    """Waits until a client has flags or never will, at most so many seconds; returns whether it has."""
    descriptor = None if client.is_initialized() or timeout <= 0 else client._signal()
    if descriptor is not None:
        import socket

        with socket.socket(fileno=descriptor) as ended:
            ended.setblocking(False)
            await _readable(ended, timeout)
    return client.is_initialized()


async def _readable(ended: socket.socket, timeout: float) -> None:
    trio = sys.modules.get("trio")
    if trio is not None and _is_running(trio):
        with trio.move_on_after(timeout):
            await trio.lowlevel.wait_readable(ended)
        return
    import asyncio

    # Every kind of loop can receive, not every kind can watch a reader.
    received = asyncio.get_running_loop().sock_recv(ended, 1)
    try:
        await asyncio.wait_for(received, timeout)
    except (asyncio.TimeoutError, ConnectionError):
        return


def _is_running(trio: object) -> bool:
    try:
        trio.lowlevel.current_task()  # type: ignore[attr-defined]
    except RuntimeError:
        return False
    return True
