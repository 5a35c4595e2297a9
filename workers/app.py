"""The Celery app: queues, late acknowledgement, time limits that really stop a task; no result is kept anywhere."""

from celery import Celery
from kombu.entity import Queue

from cxrnode.jobs import QUEUES
from cxrnode.settings import Settings, load


def make_app(settings: Settings) -> Celery:
    """The app for these settings."""
    app = Celery("cxrnode", broker=settings.broker_url, include=["workers.tasks"])
    app.conf.update(
        task_queues=[Queue(name, routing_key=name) for name in QUEUES],
        task_default_queue=QUEUES[0],
        task_default_exchange="cxrnode",
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_time_limit=settings.queue.time_limit_s,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        task_send_sent_event=True,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "queue_order_strategy": "priority",  # live before replay: queues are asked in the order given
            "visibility_timeout": settings.queue.lease_s,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        },
    )
    return app


app = make_app(load())
