"""The record of decisions: what this program changed, when, and because of what."""
