"""The audit trail: who sent, read, asked for, looked at and removed what, as ATNA messages (DICOM PS3.15 A.5)."""
