"""`data stats`: what a paper prints of a data set, and its figures."""
