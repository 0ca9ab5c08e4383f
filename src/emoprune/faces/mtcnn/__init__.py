"""Faces in photos: our own driver of the three networks of MTCNN (Zhang et al. 2016).

The networks' weights, thresholds and scales are facenet-pytorch's, and so are the faces. What is ours is
the way there: all pictures that the networks look at are averaged from one summed-area table, and a photo is
read strip by strip, so that a large one needs little memory.
"""

from emoprune.faces.mtcnn.cascade import Networks, find_faces
from emoprune.faces.mtcnn.pyramid import SMALLEST_FACE
from emoprune.faces.mtcnn.second_pass import Rescue, rescue

__all__ = ["SMALLEST_FACE", "Networks", "Rescue", "find_faces", "rescue"]
