"""Trainers: one contract, one adapter per framework."""
