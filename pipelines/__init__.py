"""Making models: clips, frames, data sets, trainers, the job file, the command line and the wiring."""
