"""``manage.py flags``."""

__all__: list[str] = []
