"""Peers that this node calls: associations, what a PACS has and what it gives, by DIMSE and over DICOMweb."""
