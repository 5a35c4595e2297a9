"""The revisions, each named as its file is; a ledger holds the name of its latest."""
