"""The adapter of each tool, by the name it is offered under."""

from __future__ import annotations

from deem_crowd_adapters.exports.read import for_tool

from_label_studio = for_tool("label-studio")
from_promptfoo = for_tool("promptfoo")
from_inspect = for_tool("inspect")
from_mt_bench = for_tool("mt-bench")
from_alpaca_eval = for_tool("alpaca-eval")
from_llmbar = for_tool("llmbar")
from_judgebench = for_tool("judgebench")
from_wrench = for_tool("wrench")
from_snorkel = for_tool("snorkel")
from_cvat = for_tool("cvat")
from_labelbox = for_tool("labelbox")
from_figure_eight = for_tool("figure-eight")
from_excel = for_tool("excel")
