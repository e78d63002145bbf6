"""For the tests of applications. Each part is a module of its own, imported where it is used:

- :mod:`ldclient.testing.stores`: what a feature store or a big segment store that you wrote has to do, as tests.
"""

from __future__ import annotations

__all__: list[str] = []
