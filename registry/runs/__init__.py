"""A copy of an MLflow server's runs on this machine, kept up to date by what changed, and how runs are chosen and compared."""
