"""From a version to an endpoint: exporters, the predictor, the HTTP app and the deploy targets."""
