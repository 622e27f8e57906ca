"""The journal between the program and the network, and its delivery.

``frame`` and ``segment`` are the bytes, ``journal`` is what a process appends to, ``folder`` is where journals
live and who owns them, ``cursor`` is what a destination has acknowledged, ``batch`` and ``lane`` turn records
into requests in order, ``delivery`` is the thread that sends them.
"""
