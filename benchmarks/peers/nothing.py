"""The floor of the measurement: a call that does nothing."""

from peers.side import Log, Place, Side, serve


def open_log(_place: Place) -> Log:
    return lambda _value, _step: None


serve(Side(open_log=open_log))
