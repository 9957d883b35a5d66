"""From a data set to registered versions, each paid for."""
