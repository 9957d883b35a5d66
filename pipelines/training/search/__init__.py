"""Which settings of a job's trainers do best, by trials on a Ray cluster."""
