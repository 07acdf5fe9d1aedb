"""Postgres and SQLite, MongoDB, Redis: connections with bounded pools and deadlines, replicas, one query over all.

`create_engine` and its kind may be imported from here; the others have modules of their own, since they load drivers.
"""

from common.databases.among import among as among
from common.databases.engines import create_engine as create_engine
from common.databases.engines import read_write as read_write
from common.databases.engines import single as single
from common.databases.engines import sqlite_url as sqlite_url
from common.databases.engines import warm as warm
from common.databases.tables import create_tables as create_tables
