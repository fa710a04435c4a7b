"""What can go wrong, grouped by what the caller can do about it.

::

    StationError
    ├── UsageError            the person at the keyboard can mend it: message names the remedy
    │   ├── ConfigError       a setting, a recipe or a limit is wrong
    │   ├── LimitsRefused     limits cannot be drafted, approved or put in force; ``code`` tells the panel why
    │   ├── ModelRefused      a model folder is not what its card says
    │   └── DataRefused       footage, a data set or an export folder cannot be used
    ├── InspectionFault       this one part could not be inspected: it is held, the next may go well
    │   ├── ImageFault        black, saturated, blurred, frozen, wrong size, unreadable
    │   └── DetectorFault     the detector failed or gave something that is no score
    ├── DeviceFault           a device is away: the station holds and tries again
    │   ├── SourceLost        camera or stream gone
    │   ├── SourceEnded       footage is over (normal)
    │   └── LineFault         the line did not acknowledge
    ├── LedgerFault           the ledger or the image store could not keep something: nothing is released
    │   ├── LedgerMismatch    triggered != disposed + waiting
    │   └── DiskFull          the disk budget or the disk itself is used up
    └── ReviewRefused         an answer cannot be taken; ``code`` tells the panel why
"""

from __future__ import annotations


class StationError(Exception):
    """Root of every error this package raises on purpose."""


class UsageError(StationError):
    """The person at the keyboard can mend this; the message says how."""


class ConfigError(UsageError):
    """A setting, a recipe or a limit is wrong."""


class LimitsRefused(UsageError):
    """Limits cannot be drafted, approved, withdrawn or put in force.

    Attributes:
        code: Machine-readable cause: ``unknown``, ``invalid``, ``same_person``, ``not_approved``, ``no_diff``,
            ``withdrawn``, ``does_not_fit``, ``in_force`` or ``nothing_to_roll_back``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ModelRefused(UsageError):
    """A model folder is not what its card says, so it is not run."""


class DataRefused(UsageError):
    """Footage, a data set or a target folder cannot be used."""


class InspectionFault(StationError):
    """This one part could not be inspected: it is held with this reason."""


class ImageFault(InspectionFault):
    """The picture cannot be trusted (black, saturated, blurred, frozen, wrong size, unreadable)."""


class DetectorFault(InspectionFault):
    """The detector failed or gave something that is no score."""


class DeviceFault(StationError):
    """A device is away: the station holds and tries again."""


class SourceLost(DeviceFault):
    """Camera or stream is gone; reading again tries to reopen it."""


class SourceEnded(DeviceFault):
    """Footage is over; nothing more will come."""


class LineFault(DeviceFault):
    """The line did not acknowledge a command."""


class LedgerFault(StationError):
    """The ledger or the image store could not keep something; nothing is released on it."""


class LedgerMismatch(LedgerFault):
    """The books do not balance: triggered != disposed + waiting."""


class DiskFull(LedgerFault):
    """The disk budget or the disk itself is used up."""


class ReviewRefused(StationError):
    """An answer or a claim cannot be taken.

    Attributes:
        code: Machine-readable cause: ``unknown``, ``taken``, ``answered``, ``settled``,
            ``same_person``, ``invalid`` or ``nothing_to_undo``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
