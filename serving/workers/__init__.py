"""Worker processes: each decodes pictures and runs the model."""
