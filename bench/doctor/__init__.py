"""`data check`: is a data set what a result says it is?"""
