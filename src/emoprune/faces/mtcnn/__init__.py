"""Face detection: our own driver of the three networks of MTCNN (Zhang et al. 2016).

It has the weights, thresholds and scales of facenet-pytorch, and finds the same faces. Its own are speed and
memory: all inputs of the networks are averaged from one summed-area table, and large photos are read in
strips.
"""

from emoprune.faces.mtcnn.cascade import Networks, find_faces
from emoprune.faces.mtcnn.pyramid import SMALLEST_FACE
from emoprune.faces.mtcnn.second_pass import Rescue, rescue

__all__ = ["SMALLEST_FACE", "Networks", "Rescue", "find_faces", "rescue"]
