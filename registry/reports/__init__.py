"""Folds of the ledger that the command line and the pages share."""
