"""A stateful double of the Hugging Face Hub and of its Inference Endpoints."""
