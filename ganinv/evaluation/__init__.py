"""Measuring a method: what it fills in is drawn, compared with the truth, and told in one report."""
