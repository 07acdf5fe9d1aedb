"""Memory: the garbage collector is told what is there to stay, and the allocator what it may keep."""

import contextlib
import ctypes
import gc

_THRESHOLDS = (10_000, 10, 10)
_M_ARENA_MAX = -8
_ARENAS = 2


def pause_collection() -> None:
    """Do not collect while modules are loaded: nearly all of what they make stays. `settle` ends it."""
    gc.disable()


def settle() -> None:
    """Take everything that is there out of collection, and look for garbage less often.

    A server holds about a million objects of modules, schemas and tables; to walk through them again and again took a
    third of each call's time under load.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(*_THRESHOLDS)


def settle_again() -> None:
    """The same for what was loaded later, with the garbage of the start thrown away; only in a settled process."""
    if gc.get_freeze_count():
        gc.unfreeze()
        gc.collect()
        settle()


def return_memory() -> None:
    """Give memory that is free but kept back to the system; after work that took much for a short time. glibc only."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def limit_arenas() -> None:
    """Let threads share two pools of memory from now on; before a library starts threads of its own. glibc only.

    By itself each thread gets one, up to eight a processor, and what is free in one is lost to all others: 100,000
    chunks in LanceDB took 1.8 GB instead of 1.1.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
