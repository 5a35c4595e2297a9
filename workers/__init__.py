"""How the work runs: the Celery app, its tasks, the process that owns the model."""
