"""The Hugging Face target: a model repository, and an Inference Endpoint around it."""
