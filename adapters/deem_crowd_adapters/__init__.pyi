from .arrays import from_dense as from_dense
from .arrays import from_soft as from_soft
from .arrow import from_arrow as from_arrow
from .bridge import DensePredictions as DensePredictions
from .bridge import to_dense as to_dense
from .dispatch import to_answers as to_answers
from .exports.hugging_face import write_hf_dataset as write_hf_dataset
from .exports.read import Export as Export
from .exports.read import from_export as from_export
from .exports.read import read_export as read_export
from .exports.writers import write_argilla as write_argilla
from .exports.writers import write_label_studio as write_label_studio
from .files import read_gold as read_gold
from .files import read_long as read_long
from .files import read_soft_long as read_soft_long
from .files import read_table as read_table
from .long import from_long as from_long
from .long import from_soft_long as from_soft_long
from .pairwise import from_pairwise as from_pairwise
from .pairwise import position_bias as position_bias
from .polars import from_polars as from_polars
from .reading import from_csv as from_csv
from .reading import from_file as from_file
from .reading import from_jsonl as from_jsonl
from .reading import from_parquet as from_parquet
from .reading import from_tsv as from_tsv
from .scores import from_scores as from_scores
from .wide import from_wide as from_wide
from .writing import write_table as write_table

__all__ = [
    "DensePredictions",
    "Export",
    "from_arrow",
    "from_csv",
    "from_dense",
    "from_export",
    "from_file",
    "from_jsonl",
    "from_long",
    "from_pairwise",
    "from_parquet",
    "from_polars",
    "from_scores",
    "from_soft",
    "from_soft_long",
    "from_tsv",
    "from_wide",
    "position_bias",
    "read_export",
    "read_gold",
    "read_long",
    "read_soft_long",
    "read_table",
    "to_answers",
    "to_dense",
    "write_argilla",
    "write_hf_dataset",
    "write_label_studio",
    "write_table",
]
