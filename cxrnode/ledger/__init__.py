"""The state: which study, round, task and delivery is where; the truth that survives the broker. It is patient data."""

from cxrnode.ledger.database import Ledger

__all__ = ["Ledger"]
