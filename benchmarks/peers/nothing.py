"""The floor of the measurement: a call that does nothing."""

from peers.side import Log, Place, Side, serve


def open_log(place: Place) -> Log:
    return lambda value, step: None


serve(Side(open_log=open_log))
