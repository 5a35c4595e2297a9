"""What a round, a task and a delivery can be; the table of moves, the one place that says how a round may change."""

from enum import StrEnum


class State(StrEnum):
    """Where a round is in its life."""

    ARRIVING = "arriving"
    READY = "ready"
    ANALYSED = "analysed"
    FINISHED = "finished"


MOVES: dict[State, set[State]] = {
    State.ARRIVING: {State.READY},  # complete.py: the study is quiet
    State.READY: {State.ANALYSED},  # outcome known, result bytes kept, deliveries due
    State.ANALYSED: {State.FINISHED},  # nothing is due any more
    State.FINISHED: {State.ANALYSED},  # withdrawn: rejection notes are due; or what failed is sent again
}


class Kind(StrEnum):
    """What an acknowledged instance is to this node."""

    SOURCE = "source"
    OWN = "own result"
    ASIDE = "kept aside"
    CORRECTION = "correction"


class Work(StrEnum):
    """The kinds of task."""

    ANALYSE = "analyse"
    DELIVER = "deliver"
    COMMIT = "commit"


class Lane(StrEnum):
    """Whose work it is, the most urgent first: everywhere STAT goes before what is live, and that before any replay."""

    STAT = "stat"
    LIVE = "live"
    REPLAY = "replay"


class TaskState(StrEnum):
    """Where a task is; `abandoned` was tried too often and waits for a person."""

    DUE = "due"
    LEASED = "leased"
    DONE = "done"
    ABANDONED = "abandoned"


OPEN = (TaskState.DUE, TaskState.LEASED)
"""there is something left to be done"""


class Fate(StrEnum):
    """What became of one result object at one destination."""

    DUE = "due"
    ACCEPTED = "accepted"
    COMMITTED = "committed"
    NOT_COMMITTED = "not committed"
    """accepted, and the archive was asked, and did not commit itself to it"""
    REFUSED = "refused"
    GIVEN_UP = "given up"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    """these two: cancelled; whoever sends it at that very moment still notes it as accepted when it is"""


TAKEN = (Fate.ACCEPTED, Fate.COMMITTED, Fate.NOT_COMMITTED)
"""the destination has it, as far as we know"""
