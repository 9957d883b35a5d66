"""What endpoints have counted, over hours and weeks: a bounded time series in the home's `metrics.db`."""
