"""What does this camera do to a picture, and how much of it is a millimetre?

Measured once with a printed board, an empty bright field and a fixed target, kept as files under
``calibration/stations/<station>/``, and applied to every live frame before anything looks at it::

    frame ──> flat field ──> white balance ──> lens ──> what trigger and detector see ──> plane ──> millimetres
              (flat_field)   (flat_field)      (lens)                                     (plane)

Pixels are named by their centres, as OpenCV does it: the middle of the first pixel is (0, 0). A ``Box`` names edges:
its x0 = 0 is half a pixel further left.
"""
