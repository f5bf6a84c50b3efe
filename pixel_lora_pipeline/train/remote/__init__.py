"""Checkpoints that lie elsewhere: found, and copied to this machine whole or not at all."""

from pixel_lora_pipeline.train.remote.errors import RemoteError
from pixel_lora_pipeline.train.remote.fetching import Fetching, UnderWay
from pixel_lora_pipeline.train.remote.mirroring import Mirrored, mirror
from pixel_lora_pipeline.train.remote.storage import Storage, put_file

__all__ = ["Fetching", "Mirrored", "RemoteError", "Storage", "UnderWay", "mirror", "put_file"]
