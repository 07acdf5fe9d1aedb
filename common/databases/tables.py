"""Tables are made when a database is opened; servers that share one take turns."""

from sqlalchemy import Connection, MetaData, func, select


def create_tables(connection: Connection, metadata: MetaData) -> None:
    """Make what is not there yet, in the caller's transaction, which writes. One process does it, the others wait."""
    take_turn(connection)
    metadata.create_all(connection)


def take_turn(connection: Connection) -> None:
    """Until the transaction ends, no other process makes or changes tables here."""
    # On Postgres, two that find a table missing would both make it, and one fail. SQLite has one writer at any time.
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("triptych tables"))))
