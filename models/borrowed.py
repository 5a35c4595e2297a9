"""What is used of torchvision and pytorch-grad-cam, without a third of a worker's start that they import beside it.

torch's compiler is imported by torchvision for one test within `roi_align`; scikit-learn, Matplotlib and the filters
of SciPy by pytorch-grad-cam for smoothed maps and for pictures. None of it is called here.
"""

from models.deferred import deferred

BESIDE = (
    "torch._dynamo.utils",
    "sklearn.decomposition",
    "matplotlib",
    "matplotlib.lines",
    "scipy.ndimage",
    "scipy.sparse.linalg",
)

with deferred(*BESIDE):
    import torchvision
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import scale_cam_image
    from torchvision.models import VisionTransformer

__all__ = ["GradCAM", "VisionTransformer", "scale_cam_image", "torchvision"]
