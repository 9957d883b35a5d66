"""From a ratified bundle to an endpoint that answers, and back."""
