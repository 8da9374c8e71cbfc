"""GPT-2's symbols for bytes: printable characters represent themselves, others U+0100 onwards.

Source: the byte encoder of Radford et al. 2019, which `tokenizers` calls ByteLevel.
"""

from functools import cache


@cache
def byte_symbols() -> tuple[str, ...]:
    """The character of each byte, index 0 to 255."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    symbols, extra = [], 0x100
    for byte in range(256):
        if byte in plain:
            symbols.append(chr(byte))
        else:
            symbols.append(chr(extra))
            extra += 1
    return tuple(symbols)


@cache
def _bytes_of_symbols() -> dict[str, int]:
    return {symbol: byte for byte, symbol in enumerate(byte_symbols())}


def to_bytes(symbols: str) -> bytes:
    """The bytes of a token written in symbols."""
    table = _bytes_of_symbols()
    return bytes(table[symbol] for symbol in symbols)


def to_symbols(data: bytes) -> str:
    """The symbols of `data`."""
    return "".join(byte_symbols()[byte] for byte in data)
