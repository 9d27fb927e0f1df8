"""A corpus's labels are those that its features and a plain k-means give, made in any order, on
Ray or here, and once more after a kill.
"""
