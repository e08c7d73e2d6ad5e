"""Exit statuses that several commands share. They are the shell's own: `timeout` returns 124, Ctrl-C 128 + SIGINT."""

TIMED_OUT = 124
INTERRUPTED = 130
CLOSED_PIPE = 141  # 128 + SIGPIPE: the reader of stdout has gone
