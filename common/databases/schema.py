"""Tables that change from version to version: an older database is brought up to date by Alembic when it is opened."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, select

from common.databases.tables import take_turn
from common.errors import SettingsError


@dataclass(frozen=True)
class Schema:
    """The tables of one part. `steps` is a folder of Alembic revisions, `head` the newest of them.

    While a database is there already, or is new, Alembic is not even loaded.
    """

    name: str
    tables: Sequence[MetaData]
    steps: Path
    head: str

    def bring_up_to_date(self, connection: Connection) -> None:
        """All of it or nothing, in the caller's transaction, which writes. One process does it, the others wait.

        Raises SettingsError for a database that a newer version has been at.
        """
        if self.version(connection) == self.head:
            return
        take_turn(connection)
        before = self.version(connection)
        if before is None and not self._there(connection):
            for metadata in self.tables:
                metadata.create_all(connection)
            self._versions.create(connection)
            connection.execute(insert(self._versions).values(version_num=self.head))
        elif before != self.head:
            self.upgrade(connection)

    def version(self, connection: Connection) -> str | None:
        """The newest step that was done here."""
        if not inspect(connection).has_table(self._versions.name):
            return None
        found: str | None = connection.execute(select(self._versions.c.version_num)).scalar()
        return found

    def upgrade(self, connection: Connection, to: str = "head") -> None:
        """Do the steps up to one that were not done yet."""
        from alembic.config import Config
        from alembic.runtime.environment import EnvironmentContext
        from alembic.script import ScriptDirectory
        from alembic.util import CommandError

        steps = ScriptDirectory(self.steps, version_locations=[self.steps])
        context = EnvironmentContext(
            Config(), steps, fn=lambda revision, _: steps._upgrade_revs(to, revision), destination_rev=to
        )
        try:
            with context:
                context.configure(connection=connection, version_table=self._versions.name)
                context.run_migrations()
        except CommandError as error:
            newer = f"its tables have version {self.version(connection)}, this program knows them up to {self.head}"
            hint = "Run the newer version, or restore the backup from before it."
            raise SettingsError(f"The database of {self.name} cannot be used: {newer}. {hint}") from error

    def _there(self, connection: Connection) -> set[str]:
        """Tables of before there were versions."""
        ours = {name for metadata in self.tables for name in metadata.tables}
        return ours & set(inspect(connection).get_table_names())

    @property
    def _versions(self) -> Table:
        """As Alembic makes it."""
        return Table(f"{self.name}_version", MetaData(), Column("version_num", String(32), primary_key=True))
