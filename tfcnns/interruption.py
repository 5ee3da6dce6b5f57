"""Ctrl-C in a script: it ends with exit code 130 and without a word, whatever it is doing.

Python alone raises KeyboardInterrupt somewhere in the middle of an import, of TensorFlow's say,
where it becomes many lines or is lost, and only once TensorFlow has come back from what it does.
"""

import os
import select
import signal
import threading

CODE = 128 + signal.SIGINT
_GRACE = 2.0  # seconds to remove temporary files in
_asked = threading.Event()


def end_at_once():
    """Until `listen`, while there is nothing to clean up, Ctrl-C ends the process there and then.

    Whoever has another handler, or ignores the signal, keeps it, as in `listen`.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler and _in_main_thread():
        signal.signal(signal.SIGINT, _end)


def listen():
    """From now on Ctrl-C raises KeyboardInterrupt, is silent, and ends the process in any case."""
    if signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, _end):
        return
    if not _in_main_thread():
        return
    heard, say = os.pipe()
    os.set_blocking(say, False)
    signal.set_wakeup_fd(say, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, _interrupt)
    threading.Thread(target=_guard, args=(heard,), daemon=True).start()


def asked():
    """Whether Ctrl-C has come since `listen`; what fails after that fails because of it."""
    return _asked.is_set()


def _end(number, frame):
    os._exit(CODE)


def _interrupt(number, frame):
    _asked.set()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what is torn apart may complain
    raise KeyboardInterrupt


def _guard(heard):
    """Ends the process if `_interrupt` didn't, or couldn't, within `_GRACE`; again: at once."""
    while True:
        (number,) = os.read(heard, 1)
        # Otherwise the signal is another's who listens too: a training, which saves first.
        if number == signal.SIGINT and signal.getsignal(signal.SIGINT) is _interrupt:
            select.select([heard], [], [], _GRACE)
            os._exit(CODE)


def _in_main_thread():
    return threading.current_thread() is threading.main_thread()
