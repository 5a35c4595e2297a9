"""Makes every Celery task keep SOAK_LEAK_MB megabytes: a soak with this folder on PYTHONPATH must be red."""

import os

from celery.signals import task_prerun

kept: list[bytes] = []


@task_prerun.connect
def keep(**_: object) -> None:
    """Keep some memory for ever; zeros alone would not be resident."""
    kept.append(b"x" * int(float(os.environ["SOAK_LEAK_MB"]) * 1e6))
