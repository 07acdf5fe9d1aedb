"""All tables of the knowledge base in SQL, and the steps from older versions of them.

To change a table: change it where it is defined, add a step to the folder, and name it here.
"""

from pathlib import Path

from common.databases.schema import Schema
from common.jobs.sql_table import jobs
from knowledge_base.adapters.sql_filter import facts
from knowledge_base.adapters.sql_source_tables import sources

SCHEMA = Schema(
    name="catalog",
    tables=[facts.metadata, jobs.metadata, sources.metadata],
    steps=Path(__file__).parent / "sql_steps",
    head="0002",
)
