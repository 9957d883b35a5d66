"""From clips to a deployed, priced model, once, on clips that it generates."""
