"""One spelling for the names of layers, which files and models spell differently."""


def layer_name(name: str) -> str:
    """The same for Kohya's names (`lora_te1_…_q_proj`) and dotted paths (`text_encoder.….q_proj`)."""
    name = name.replace(".", "_").removeprefix("lora_").replace("processor_", "")
    for kohya, component in (("te1_", "text_encoder_"), ("te2_", "text_encoder_2_"), ("te_", "text_encoder_")):
        if name.startswith(kohya):
            name = component + name.removeprefix(kohya)
    # transformers 5 dropped this level from its text encoders, files still name it.
    return name.replace("text_model_", "")
