"""Names for types that several rooms use.

`Tensor`: a tensor of whatever backend Keras runs on; no backend's class is
named where `keras.ops` alone is spoken. `Shape3`: three numbers along the
axes (I, J, K) of a scan. `AffineForm`: one of the two ways in which a NIfTI
says where its voxels are.
"""

from typing import Any, Literal

Tensor = Any
Shape3 = tuple[int, int, int]
AffineForm = Literal["sform", "qform"]
