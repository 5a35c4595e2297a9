"""What alembic runs: the revisions that are missing, on the connection and in the transaction of upgrade.py."""

from alembic import context

from cxrnode.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
