"""Task names, queues and payloads (random keys, a destination's name), and the only Celery client of this package."""

from datetime import UTC, datetime

from celery import Celery
from kombu.exceptions import OperationalError
from redis import ConnectionError as RedisConnectionError
from redis import RedisError

from cxrnode.errors import BrokerUnavailable
from cxrnode.ledger.states import Lane, Work
from cxrnode.ledger.work import Due

ANALYSIS_QUEUES = {Lane.STAT: "stat", Lane.LIVE: "live", Lane.REPLAY: "replay"}
DELIVERY_QUEUES = {Lane.STAT: "deliver-stat", Lane.LIVE: "deliver", Lane.REPLAY: "deliver-replay"}
"""Those of analysis, and of all that speaks to destinations, in the order in which a worker asks them."""
QUEUES = (*ANALYSIS_QUEUES.values(), *DELIVERY_QUEUES.values())
TASK_NAMES = {Work.ANALYSE: "cxrnode.analyse", Work.DELIVER: "cxrnode.deliver", Work.COMMIT: "cxrnode.commit"}
TOWARDS = {Work.ANALYSE: "", Work.DELIVER: "to {}: ", Work.COMMIT: "by {}: "}


class Jobs:
    """The queue's entrance."""

    def __init__(self, broker_url: str) -> None:
        self._client = Celery("cxrnode", broker=broker_url)
        self._client.conf.update(
            task_ignore_result=True,
            task_send_sent_event=True,  # so that Flower lists what waits, and in which queue
            broker_transport_options={"socket_connect_timeout": 2, "socket_timeout": 5, "max_retries": 0},
            broker_connection_retry=False,
        )

    def submit(self, task: Due) -> None:
        """Put one task in its queue. Raises BrokerUnavailable."""
        try:
            self._client.send_task(
                TASK_NAMES[task.work],
                args=[task.task_key],
                argsrepr=in_words(task),
                queue=queue_of(task.work, task.lane),
                retry=False,
            )
        except (OperationalError, RedisConnectionError, OSError) as error:
            raise BrokerUnavailable(f"the broker does not answer: {error}") from error

    def waiting(self, *queues: str) -> list[int]:
        """How many tasks wait in each of these queues. Raises BrokerUnavailable."""
        try:
            with self._client.pool.acquire(block=True) as connection:  # kept, and opened again when it broke
                asked = connection.default_channel.client.pipeline(transaction=False)
                for queue in queues:
                    asked.llen(queue)
                return [int(length) for length in asked.execute()]
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerUnavailable(f"the broker does not answer: {error}") from error

    def clock(self) -> datetime:
        """What time it is for the broker (UTC). Raises BrokerUnavailable."""
        try:
            with self._client.pool.acquire(block=True) as connection:
                seconds, microseconds = connection.default_channel.client.time()
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerUnavailable(f"the broker does not answer: {error}") from error
        return datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()


def in_words(task: Due) -> str:
    """What Flower shows as the task's arguments: the destination by its name, and the study by its random key."""
    return f"{TOWARDS[task.work].format(task.destination)}study {task.study_key}"


def queue_of(work: Work, lane: Lane) -> str:
    """The queue that a task goes to, by its kind and lane."""
    return (ANALYSIS_QUEUES if work is Work.ANALYSE else DELIVERY_QUEUES)[lane]
