"""What comes next is made in a thread beside, while the caller works on what came before."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")


def ahead(calls: Sequence[Callable[[], Made]], most: int) -> Iterator[Made | Exception]:
    """What each call makes, or the error that it ended with, in their order; never more than `most` before its turn.

    One thread makes them, one after another. A single call is made here, for there is nothing to do beside it.
    """
    if len(calls) < 2:
        yield from (_outcome(call) for call in calls)
        return
    waiting: deque[Future[Made | Exception]] = deque()
    with ThreadPoolExecutor(1, "ahead") as thread:
        try:
            for call in calls:
                waiting.append(thread.submit(_outcome, call))
                if len(waiting) > most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)


def _outcome(call: Callable[[], Made]) -> Made | Exception:
    try:
        return call()
    except Exception as error:  # noqa: BLE001  it is the caller's to judge, when its turn comes
        return error
