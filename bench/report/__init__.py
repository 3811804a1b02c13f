"""Finished runs -> tables, intervals, figures and a page that can be believed."""
