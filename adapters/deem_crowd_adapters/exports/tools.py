"""The adapters of tools: one for each name in :mod:`.known`, for callers who say which tool a file comes from."""

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
from_zooniverse = for_tool("zooniverse")
from_sagemaker = for_tool("sagemaker")
from_excel = for_tool("excel")
from_form = for_tool("form")
from_prodigy = for_tool("prodigy")
from_argilla = for_tool("argilla")
from_doccano = for_tool("doccano")
from_mturk = for_tool("mturk")
from_toloka = for_tool("toloka")
