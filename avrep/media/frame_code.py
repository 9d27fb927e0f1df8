"""A frame's number drawn into its corner, where it outlives the codec.

The grid has 3 rows of 8 cells. Two cells are references, one white and one black; the others
carry 16 bits of number and 6 of checksum. The number's bits are stirred by a fixed permutation
of [0, 65536) first: neighbouring frames then show unrelated patterns, and a bit that toggles or
stays cannot give away how far apart two frames are.
"""

import numpy as np
import numpy.typing as npt

CELL_PX = 4
"""Side of one cell: half of a transform block of H.264, large enough to survive quantisation."""
MAX_NUMBER = 2**16 - 1

_ROWS, _COLUMNS = 3, 8
_CHECK_BITS = 6
_CHECK_POLYNOMIAL = 0b1000011
_STIR = 0x9E35
_UNSTIR = pow(_STIR, -1, 2**16)
_MIN_CONTRAST = 64.0


def draw_frame_code(
    frame: npt.NDArray[np.uint8], number: int, *, cell_px: int = CELL_PX
) -> npt.NDArray[np.uint8]:
    """A copy of the frame with the number in its top left corner.

    Args:
        frame: uint8[h w 3], at least 3 cells high and 8 cells wide.
        number: in [0, 65535].
        cell_px: side of one cell in pixels.

    Raises:
        ValueError: the number is out of range or the grid does not fit the frame.
    """
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"a frame number must lie in [0, {MAX_NUMBER}], got {number}")
    height_px, width_px = frame.shape[:2]
    if height_px < _ROWS * cell_px or width_px < _COLUMNS * cell_px:
        raise ValueError(f"no room for {_ROWS}x{_COLUMNS} cells of {cell_px} px on {frame.shape}")
    payload = _stir(number)
    word = payload << _CHECK_BITS | _checksum(payload)
    bits = [1, 0, *((word >> shift) & 1 for shift in range(16 + _CHECK_BITS - 1, -1, -1))]
    cells = np.array(bits, np.uint8).reshape(_ROWS, _COLUMNS) * np.uint8(255)
    coded = frame.copy()
    grid = cells.repeat(cell_px, axis=0).repeat(cell_px, axis=1)
    coded[: grid.shape[0], : grid.shape[1]] = grid[..., None]
    return coded


def read_frame_number(
    frame: npt.NDArray[np.uint8], *, cell_px: float = CELL_PX, min_contrast: float = _MIN_CONTRAST
) -> int | None:
    """The number in the frame's corner, or None where no sound code stands.

    The threshold lies halfway between the reference cells, so a change of range (full or limited)
    or of brightness does no harm. The checksum catches any one or two wrong cells, and all but
    one in 64 of the worse cases.

    Args:
        frame: uint8[h w 3].
        cell_px: side of one cell; a fraction where the frame was scaled after coding.
        min_contrast: grey levels that must lie between the reference cells.

    Raises:
        ValueError: the cells are smaller than 2 px.
    """
    if cell_px < 2:
        raise ValueError(f"cells must be 2 px or more to be read, got {cell_px}")
    if frame.shape[0] < _ROWS * cell_px or frame.shape[1] < _COLUMNS * cell_px:
        return None
    corner = frame[: int(_ROWS * cell_px), : int(_COLUMNS * cell_px)].mean(axis=2)
    levels = _cell_levels(corner, cell_px)
    white, black = levels[0], levels[1]
    if white - black < min_contrast:
        return None
    word = 0
    for bit in levels[2:] > (white + black) / 2:
        word = word << 1 | int(bit)
    payload, check = word >> _CHECK_BITS, word & (2**_CHECK_BITS - 1)
    return _unstir(payload) if check == _checksum(payload) else None


def _cell_levels(grey: npt.NDArray[np.float64], cell_px: float) -> npt.NDArray[np.float64]:
    # Only the middle half of a cell counts: its rim is blurred by transform, chroma and scaling.
    levels = np.empty((_ROWS, _COLUMNS))
    for row in range(_ROWS):
        top, bottom = _middle(row, cell_px)
        for column in range(_COLUMNS):
            left, right = _middle(column, cell_px)
            levels[row, column] = grey[top:bottom, left:right].mean()
    return levels.ravel()


def _middle(cell: int, cell_px: float) -> tuple[int, int]:
    start = round((cell + 0.25) * cell_px)
    return start, max(start + 1, round((cell + 0.75) * cell_px))


def _stir(number: int) -> int:
    for _ in range(3):
        number ^= number >> 8
        number = number * _STIR & 0xFFFF
    return number


def _unstir(payload: int) -> int:
    for _ in range(3):
        payload = payload * _UNSTIR & 0xFFFF
        payload ^= payload >> 8
    return payload


def _checksum(payload: int) -> int:
    # CRC-6 of the generator x^6 + x + 1, which is primitive: 22 bits are well inside its period
    # of 63, so no two flipped bits cancel.
    register = payload << _CHECK_BITS
    for shift in range(15, -1, -1):
        if register >> (shift + _CHECK_BITS) & 1:
            register ^= _CHECK_POLYNOMIAL << shift
    return register
