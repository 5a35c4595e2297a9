"""The receiving process and what runs in it: acceptors, the intake of receipts, the reconciler, the canary."""
