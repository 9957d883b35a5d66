"""From evidence to a stage: measured, judged, decided, followed up and published."""
