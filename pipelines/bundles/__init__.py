"""From a version to sealed bundles, and where they are kept."""
