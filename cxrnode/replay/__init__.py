"""Backfill: fetch the studies of a plan, have them read below the live service, give each its verdict; resumable."""
