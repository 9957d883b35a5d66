"""What a training would take and cost, before it starts."""
