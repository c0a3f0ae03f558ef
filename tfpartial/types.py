"""Names for types that several rooms use.

`Tensor`: a tensor of whatever backend Keras runs on; no backend's class is
named where `keras.ops` alone is spoken. `Shape3`: three numbers along the
axes (I, J, K) of a scan.
"""

from typing import Any

Tensor = Any
Shape3 = tuple[int, int, int]
