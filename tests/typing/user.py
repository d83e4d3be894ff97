"""What a user writes, as an editor sees it: tests/house/test_typing.py has it checked."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from typing_extensions import assert_type

from deem_crowd import DEEM, Answers, DEEMAggregator

frame = pd.DataFrame({"task": [1, 1], "worker": ["a", "b"], "label": ["x", "y"]})
matrix = np.array([[0, 1], [1, 1]])

aggregator = DEEMAggregator(hidden_dim=1, progress=False).fit(frame, gold={1: "x"})
assert_type(aggregator, DEEMAggregator)
assert_type(DEEMAggregator.load("model"), DEEMAggregator)
assert_type(aggregator.load("model"), DEEMAggregator)
assert_type(aggregator.probas_, pd.DataFrame)
assert_type(aggregator.errors_, pd.DataFrame)
assert_type(aggregator.skill_intervals_, pd.DataFrame)
assert_type(aggregator.predict_proba(frame), pd.DataFrame)
assert_type(aggregator.loss_history_, list[float])
skill: float = aggregator.skills_.mean()
first: str = str(aggregator.fit_predict(frame).iloc[0])
aggregator.save("model", overwrite=True)

model = DEEM(n_classes=2, random_state=0).fit(matrix, gold=[0, -1])
assert_type(model, DEEM)
assert_type(DEEM.load("model"), DEEM)
assert_type(model.partial_fit(matrix), DEEM)
assert_type(model.predict(matrix), npt.NDArray[np.int64])
labels, probabilities = model.predict(matrix, return_probs=True)
assert_type(labels, npt.NDArray[np.int64])
assert_type(probabilities, npt.NDArray[np.float64])
assert_type(model.predict_proba(matrix), npt.NDArray[np.float64])
assert_type(model.n_classes_, int)
assert_type(model.skills_, npt.NDArray[np.float64])
assert_type(model.classes_, npt.NDArray[np.int64])
assert_type(model.score(matrix, [0, 1]), float)
assert_type(Answers.from_frame(frame), Answers)
assert_type(Answers.from_frame(frame).n_tasks, int)
model.summary().splitlines()
model.fit(pd.DataFrame(matrix, columns=["ann", "bob"]))
