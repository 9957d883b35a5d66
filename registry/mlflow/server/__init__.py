"""What runs inside MLflow's server."""
