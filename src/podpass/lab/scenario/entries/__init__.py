"""What a scenario can say of each kind of thing, as values whose types describe the file.

Times are seconds since the epoch. Empty texts stand for what the lab chooses and keeps.
"""
