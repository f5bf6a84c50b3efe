from pixel_lora_pipeline.lab.app import create_app

__all__ = ["create_app"]
