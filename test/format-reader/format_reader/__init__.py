"""Reads a repository of format 1, as docs/format describes it, and nothing else of Dormouse."""
