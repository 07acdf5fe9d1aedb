"""Heavy libraries are imported when they are used, and one after the other."""

from threading import Lock

# When two threads import numpy for the first time at once, one of them fails ("cannot load module more than once").
ONE_AT_A_TIME = Lock()
