"""Write an encoder as ONNX: `export_onnx FOLDER TASK FILE`, and beside it FILE with int8."""

import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from onnxruntime.quantization import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    QuantType,
    quantize_dynamic,
)

NAMES = ("input_ids", "attention_mask")


class Logits(torch.nn.Module):
    """The model with positional inputs and one output."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        """Logits, or the states of all tokens."""
        return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]


def main(folder: str, task: str, file: Path) -> None:
    """Export, and quantise the weights to int8."""
    made: Any = transformers.AutoModel
    if task == "classify":
        made = transformers.AutoModelForSequenceClassification
    model = made.from_pretrained(folder, attn_implementation="sdpa").eval()
    ids = torch.ones(2, 16, dtype=torch.long)
    mask = torch.ones(2, 16, dtype=torch.long)
    mask[1, 10:] = 0  # a mask that is all ones would be left out of the graph
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", min=2, max=512)}
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        Logits(model),
        (ids, mask),
        str(file),
        input_names=list(NAMES),
        output_names=["output"],
        dynamic_shapes=dict.fromkeys(NAMES, sizes),
        dynamo=True,
        external_data=False,
    )
    int8 = file.with_suffix(".int8.onnx")
    quantize_dynamic(str(file), str(int8), weight_type=QuantType.QInt8)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
