"""The splits, and what others call them."""

SPLITS = ("train", "dev", "test")

# Source: SPLIT_KEYWORDS in data_files.py of github.com/huggingface/datasets
SPLIT_KEYWORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "dev", "val"), "dev"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""Name of a split's folder -> the split."""

SPLIT_NAMES = {**SPLIT_KEYWORDS, "development": "dev"}
"""Value of a column `split` -> the split; Hugging Face takes no folder `development` for one."""
