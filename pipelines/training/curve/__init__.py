"""What more clips would be worth: accuracy against the clips that a head on frozen features learns from, and how it goes on."""
