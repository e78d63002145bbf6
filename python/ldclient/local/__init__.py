"""Flags without a service: what an application or a developer needs when LaunchDarkly is not at hand.

The parts are imported by name: ``ldclient.local.server`` is the development server that speaks the service's protocol
from flag files, ``ldclient.local.command`` the command line (``python -m ldclient``). Importing this package alone
loads neither.
"""

__all__: list[str] = []
