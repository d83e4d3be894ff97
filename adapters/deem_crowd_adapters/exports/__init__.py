"""Exports of labelling tools, evaluation logs and label matrices → answers.

One module reads one family of files. Each offers ``FORMATS``, a tuple of :class:`.known.Format`: what the files look
like,
and how their answers are collected. ``content.py`` opens a file of any kind, ``collected.py`` holds what a reader
finds and
says what was left out, ``several.py`` joins files, ``read.py`` is what the adapters call.
"""
