"""Deploy targets: a folder each, with the same inner names: config, target, client, quote, catalogue, requests, release."""
