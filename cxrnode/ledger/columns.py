"""The ledger's column types, alike on SQLite and on PostgreSQL: what one takes, the other takes."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, TypeDecorator, types
from sqlalchemy.types import TypeEngine


class String(TypeDecorator[str]):
    """Text whose length is only told, as SQLite has it: PostgreSQL would refuse a UID that a sender made too long.

    A NUL, which PostgreSQL cannot keep, becomes U+FFFD: the image or the answer that brought it must be written down.
    """

    impl = types.String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """TEXT on PostgreSQL."""
        return types.Text() if dialect.name == "postgresql" else self.impl_instance

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Without NUL."""
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if value else value


class Text(String):
    """Text of any length."""

    impl = types.Text
    cache_ok = True


class Utc(TypeDecorator[datetime]):
    """An aware UTC datetime, kept naive in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware -> naive UTC."""
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Naive -> aware UTC."""
        return value.replace(tzinfo=UTC) if value else None
