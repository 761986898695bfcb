"""Waveform (T,) -> utterance embedding (D,), and the store that keeps the embeddings.

* `spec`: what made a vector; * `encoder`: the contract and `load_encoder`; * `logmel`, `emotion2vec`: the encoders;
* `hub`: names -> model folders; * `store`, `digests`: vectors on disk; * `extract`: manifest -> store.
"""
