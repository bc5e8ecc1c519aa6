"""Speed, measured side by side: ours, the usual way of the field, torch.compile, peers by their checkouts.

contenders.py says what is run, race.py runs it: each contender in a process of its own, all taking turns,
so that other work on the machine slows all alike. Medians are told, as ratios; `ganinv bench` prints them.
"""
