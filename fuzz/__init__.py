"""Hostile bytes against everything that reads them.

    make fuzz                                   a minute for all targets together
    make fuzz SECONDS=3600                      an hour
    python -m fuzz --seconds 180 --target patch --target fix --seed 7
    python -m fuzz --list                       the targets, each with what must be true of it
    python -m fuzz --replay .cache/fuzz/patch/finding-0123456789ab      exit code 1 as long as it is wrong

The time is divided among the targets. Each runs in a process of its own under atheris, which mutates inputs for the
coverage that they bring; half of its inputs are read as they are, the others decide what a hypothesis strategy draws
(`target.py`). What an input leads to is held against an oracle, in `targets/`, not only against tracebacks; an input
that takes 20 seconds or 3 GiB is a finding as well.

Under `.cache/fuzz/NAME/` lie the inputs that brought coverage (`corpus`, from which the next run begins), the log of
libFuzzer, and for each finding `finding-ID`, as small as a few seconds could make it, with `finding-ID.txt`: the values
and the traceback. The exit code is 1 if there is one.

What is found becomes a test: the input goes into the seeds of its target, or is told in words in the fitting file of
`tests/`. `tests/meta/test_fuzz.py` draws some tens of inputs for each target with the same strategies and oracles,
and breaks the program to see that they notice. atheris has wheels for Linux on x86-64; elsewhere chance alone chooses
the inputs, and what takes too long or too much memory is not looked for.
"""
