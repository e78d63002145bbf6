"""What to say when the native module cannot be loaded, because this is not the only interpreter of its process."""

from __future__ import annotations

__all__ = ["explain"]

_GUIDANCE = (
    "ldclient's native module serves one Python interpreter of a process, and {why}. "
    "Under mod_wsgi set 'WSGIApplicationGroup %{{GLOBAL}}', or give each application a process of its own by "
    "'WSGIDaemonProcess' and 'WSGIProcessGroup'; under uWSGI set 'single-interpreter = true', or run each application in "
    "a uWSGI of its own; instead of sub-interpreters of your own use threads or processes."
)


def explain(error: ImportError) -> None:
    """Raises an error that says what to set, if the given one is about interpreters; else does nothing."""
    text = str(error)
    if "interpreter" in text:
        isolated = "another interpreter" not in text
        why = "this one is isolated from the others" if isolated else "another one loaded it first"
        raise ImportError(_GUIDANCE.format(why=why), name=error.name, path=error.path) from error
