"""The role of a kernel's axes from the equation of an einsum."""


def einsum_axes(equation: str, kernel: int) -> str | None:
    """Return one letter an axis of a kernel, as :class:`jaxinit.Layout` takes them.

    Args:
        equation: Such as ``"...x,xyz->...yz"``, with two operands.
        kernel: Which operand is the kernel, 0 or 1.

    Returns:
        ``"IOO"``, or None where the equation does not tell: another number of operands, an
        ellipsis or a repeated axis in the kernel.

    Example:
        >>> from jaxinit.models.einsum import einsum_axes
        >>> einsum_axes("abc,cde->abde", 1)
        'IOO'
    """
    left, _, output = equation.replace(" ", "").partition("->")
    operands = left.split(",")
    if len(operands) != 2 or "->" not in equation:
        return None
    mine, data = operands[kernel], operands[1 - kernel]
    if "." in mine or len(set(mine)) != len(mine):
        return None
    roles = {(True, False): "I", (False, True): "O", (True, True): "B"}
    found = [roles.get((axis in data, axis in output)) for axis in mine]
    return None if None in found else "".join(filter(None, found))
