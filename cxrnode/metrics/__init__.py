"""Figures for Prometheus: what processes count as it happens, what is read at each scrape, and the port."""
