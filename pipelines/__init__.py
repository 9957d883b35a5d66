"""Making models: clips, frames, data sets, trainers, the job file, promotion, the services and the command line."""
