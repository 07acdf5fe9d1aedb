"""The servers are what tests take them for."""

from pymongo import AsyncMongoClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine


async def test_a_postgres_database_is_new_and_takes_writes(postgres_database: str) -> None:
    engine = create_async_engine(postgres_database)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE things (name text)"))
        await connection.execute(text("INSERT INTO things VALUES ('one')"))
        assert (await connection.execute(text("SELECT name FROM things"))).scalars().all() == ["one"]
    await engine.dispose()


async def test_mongodb_has_transactions(mongodb_database: str) -> None:
    async with AsyncMongoClient[dict[str, str]](mongodb_database) as client, client.start_session() as session:
        things = client.get_default_database()["things"]
        await things.insert_one({"name": "kept"})
        async with await session.start_transaction():
            await things.insert_one({"name": "not kept"}, session=session)
            await session.abort_transaction()
        assert await things.distinct("name") == ["kept"]
