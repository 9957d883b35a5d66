"""Data checks and gates: pure judgement. It returns findings and writes nothing but its report."""
