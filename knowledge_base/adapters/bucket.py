"""Files of an S3 bucket or an Azure container as a source."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from common.errors import NotFound, Unavailable
from knowledge_base.adapters.object_stores import Account, open_store
from knowledge_base.buckets import BucketObject


class ObstoreBucket:
    """Implements Bucket at `s3://bucket/prefix` or `az://container/prefix`."""

    def __init__(self, url: str, account: Account | None = None) -> None:
        self._url = url
        self._account = account or Account()
        self._opened: Any = None

    async def objects(self) -> AsyncIterator[BucketObject]:
        """See Bucket."""
        import obstore
        from obstore.exceptions import BaseError

        store = await self._store()
        try:
            async for page in obstore.list(store):
                for item in page:
                    yield BucketObject(item["path"], str(item["e_tag"] or item["last_modified"]), item["size"])
        except BaseError as error:
            raise Unavailable(f"{self._url} cannot be listed ({type(error).__name__}).", "Check access.") from None

    async def read(self, key: str) -> bytes:
        """See Bucket."""
        import obstore
        from obstore.exceptions import BaseError

        store = await self._store()
        try:
            return bytes(await (await obstore.get_async(store, key)).bytes_async())
        except FileNotFoundError:
            raise NotFound(f"{key} is gone.") from None
        except BaseError as error:
            raise Unavailable(f"{self._url} cannot be read ({type(error).__name__}).", "Check access.") from None

    async def _store(self) -> Any:
        if self._opened is None:
            self._opened = await asyncio.to_thread(open_store, self._url, self._account)
        return self._opened
