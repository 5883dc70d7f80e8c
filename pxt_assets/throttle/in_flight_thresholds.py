"""From which gains and losses on the search for the number in flight goes up and down, and when it tries to."""

FIRST_SIZE = 4
"""Requests in flight at the beginning."""
GROWTH = 4.0
"""Factor on the size in a step while it grows from the beginning."""
SLOW_GROWTH = 2.0
SLOW_SIZE = 16
"""The same up to this size, and after more were tried with success."""
NEEDED_GAIN = 0.25
"""Elasticity from which a step upwards is kept: twice as many in flight for a fifth more throughput."""
SMALL_GAIN = 0.4
"""The same of small sizes: servers that gain slowly take more than that."""
FILLING_LATENCIES = 2.0
"""Latencies after which a step is judged by what came to be in flight, if that is less than the step allows."""
CHEAP_LOSS = 0.12
"""Elasticity up to which a step downwards is kept: a quarter fewer in flight for 3 % less throughput."""
LONG_QUEUE = 6.0
LONG_QUEUE_GAIN = 0.65
"""From so many times the lowest latency on, the elasticity that a step upwards needs; two clients alike see a half."""
NO_QUEUE_GAIN = 0.85
"""Elasticity from which on latency has nothing to do with what is in flight."""
FULL_SHARE = 0.75
"""Share of a size that must be in flight at the grant of a request whose latency counts."""
FEWER = 0.75
"""Factor on the size when fewer are tried."""
FEWEST = 0.5
ALLOWED_QUEUE = 1.25
"""The first try after a change goes to so many times what would not queue, and to so small a part of the size at most."""
SURE_LOSS = 0.5
"""Elasticity from which fewer are tried again much later."""
CHANGED_GAIN = 1.5
"""Elasticity above which fewer did not cost throughput: the server has become another one meanwhile."""
QUEUE_SIGN = 1.3
"""Factor on the lowest latency from which on requests seem to queue."""
FIRST_INTERVAL = 1
LONGEST_INTERVAL = 16
"""Rounds until more are tried, at first and at most."""
FIRST_FEWER_INTERVAL = 1
LONGEST_FEWER_INTERVAL = 16
"""The same for fewer."""
INTERVAL_AFTER_LOSS = 8
LONGEST_INTERVAL_AFTER_LOSS = 128
"""Rounds until more are tried after that cost answers, at first and at most."""
LOST_SHARE = 0.12
"""Share of lost among the latest outcomes, above which fewer go: three in a row."""
OUTCOMES_REMEMBERED = 20
LOST_LATENCY = 1.5
"""Factor on the latency after which a lost answer is taken for one that queued too long."""
FIRST_LOST_SECONDS = 1.0
"""The same in seconds, before the first answer."""
FOLLOWED_SECONDS = 0.5
"""Seconds in which other processes follow a size."""
OTHERS_SECONDS = 0.2
"""Seconds after which a request is asked for again that waits for what others of this process have in flight."""
