"""Judgement, pure: data checks and gates. It returns findings and writes nothing but its report."""
