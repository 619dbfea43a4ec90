"""Recorder of the bytes sent to an address over a network device: python record.py DEVICE ADDRESS

Prints "recording" when it does, and at the end of its input, as JSON, the bytes of each TCP connection:
[[port that it was sent to, hexadecimal bytes], …].
"""

import json
import select
import socket
import struct
import sys

ETH_P_ALL, SO_RCVBUFFORCE = 3, 33
SYN = 2


def main() -> None:
    device, address = sys.argv[1], socket.inet_aton(sys.argv[2])
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    tap.bind((device, 0))
    print("recording", flush=True)
    pieces: dict[tuple[bytes, int, int], dict[int, bytes]] = {}
    first: dict[tuple[bytes, int, int], int] = {}
    while tap in select.select([tap, sys.stdin], [], [])[0]:  # at the end, only what is left to read
        frame = tap.recv(1 << 17)
        packet = frame[14:]
        if frame[12:14] != b"\x08\x00" or packet[9] != socket.IPPROTO_TCP or packet[16:20] != address:
            continue
        segment = packet[(packet[0] & 15) * 4 : int.from_bytes(packet[2:4], "big")]
        source, target, number = struct.unpack("!HHI", segment[:8])
        stream = (packet[12:16], source, target)
        if segment[13] & SYN:
            first[stream] = number + 1
        elif stream in first and (data := segment[(segment[12] >> 4) * 4 :]):
            pieces.setdefault(stream, {})[(number - first[stream]) % (1 << 32)] = data
    print(json.dumps([[stream[2], joined(parts).hex()] for stream, parts in pieces.items()]))


def joined(parts: dict[int, bytes]) -> bytes:
    """Return the pieces in order, until the first gap; bytes that were sent again count once."""
    found = b""
    for start, data in sorted(parts.items()):
        if start > len(found):
            break
        found += data[len(found) - start :]
    return found


if __name__ == "__main__":
    main()
