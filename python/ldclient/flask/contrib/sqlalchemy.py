"""Features in a table of the application's database. Needs Flask-SQLAlchemy 3."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import NoResultFound

from ..chain import NoFeatureFlagFound

__all__ = ["SQLAlchemyFeatureFlags"]


class SQLAlchemyFeatureFlags:
    """A handler: ``flags.add_handler(SQLAlchemyFeatureFlags(db))``.

    :param db: the ``SQLAlchemy`` object of Flask-SQLAlchemy
    :param model: a model of one's own, with a classmethod ``check(feature)`` that raises SQLAlchemy's ``NoResultFound``
        for an unknown one; default a model ``FeatureFlag`` with ``id``, ``feature`` and ``is_active``
    """

    def __init__(self, db: Any, model: Any = None) -> None:
        self.model = _model(db) if model is None else model

    def __call__(self, feature: str) -> Any:
        """Returns what the model says.

        :raises NoFeatureFlagFound: it does not know the feature
        """
        try:
            return self.model.check(feature)
        except NoResultFound:
            raise NoFeatureFlagFound from None


def _model(db: Any) -> Any:
    class FeatureFlag(db.Model):  # type: ignore[misc]
        """A feature that is active or not."""

        id = db.Column(db.Integer, primary_key=True)
        feature = db.Column(db.String(255), nullable=False, unique=True)
        is_active = db.Column(db.Boolean, default=False)

        @classmethod
        def check(cls, feature: str) -> bool:
            """Tells whether it is active; raises NoResultFound if there is none of that name."""
            row = db.session.execute(db.select(cls).filter_by(feature=feature)).scalar_one()
            return bool(row.is_active)

    return FeatureFlag
