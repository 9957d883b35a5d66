"""Predictors in processes of their own."""
