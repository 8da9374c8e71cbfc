"""Keeps the garbage collector off the objects that live as long as the app.

A full collection visits every object that exists: 100,000 after the imports, several times as many
with torch, in 60 to 200 ms without an answer to a key. The objects of the imports never become
garbage, so they are left out.
"""

import gc


class _State:
    is_starting = False


def pause() -> None:
    """Collect nothing until the first `leave_out`: what a start creates mostly stays."""
    _State.is_starting = True
    gc.disable()


def leave_out() -> None:
    """Leave everything that exists now out of later collections; from any thread.

    Does nothing without `pause`: where several apps run one after another, as in tests, the
    objects of an earlier one would never be freed.
    """
    if _State.is_starting:
        gc.freeze()
        gc.enable()
