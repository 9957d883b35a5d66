"""The truth: records, references, stages, events, money, the ledger and the MLflow adapters.

The ground of the house: it imports no other room.
"""
