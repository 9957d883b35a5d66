"""A stateful double of RunPod: REST v2, the endpoints' own addresses, workers, a clock, bills and faults."""
