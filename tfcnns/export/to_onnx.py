"""ONNX files, from tensors, batches of any size."""

import logging

from tfcnns.errors import UserError

from .endpoints import for_servers, on_tensors

OPSET = 18


def write(file, model):
    """Converts serving_default and writes it to a file.

    Raises: UserError if the model has what ONNX lacks.
    """
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    endpoint = on_tensors(model, model.inputs[0].shape)
    try:
        with for_servers():
            tf2onnx.convert.from_function(
                endpoint, endpoint.input_signature, opset=OPSET, output_path=str(file)
            )
    except Exception as error:  # what it raises has no class of its own
        raise UserError(f"onnx: {str(error).strip().splitlines()[0][:300]}") from error
