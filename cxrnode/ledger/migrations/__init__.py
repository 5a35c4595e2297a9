"""How a ledger of an earlier version becomes one of this: one revision for each change of the tables (alembic).

Within a generation (the first number of a name) a revision only adds: a program of before it goes on with the
ledger, as it must while a node is restarted process by process.
"""
