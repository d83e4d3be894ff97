"""Other people's formats → :class:`deem_crowd.Answers`, and back.

``to_answers(data)`` recognises what it is given; the other functions read one form each.
``to_dense(data)`` is the bridge for people with a model of their own. Names are imported on first use.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
