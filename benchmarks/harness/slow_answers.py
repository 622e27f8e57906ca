"""A TCP relay that holds back everything the server says: `python slow_answers.py PORT SERVER_PORT SECONDS`."""

import asyncio
import sys

HOST = "127.0.0.1"
CHUNK_BYTES = 65536


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, seconds: float) -> None:
    """Pass on every chunk a fixed time after it came, so that an answer in many chunks is late only once."""
    loop = asyncio.get_running_loop()
    late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def receive() -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            late.put_nowait((loop.time() + seconds, chunk))
        late.put_nowait((loop.time() + seconds, b""))

    receiving = asyncio.create_task(receive())
    try:
        while True:
            due, chunk = await late.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not chunk:
                break
            writer.write(chunk)
            await writer.drain()
    finally:
        receiving.cancel()
        writer.close()


async def serve(port: int, server_port: int, seconds: float) -> None:
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(HOST, server_port)
        await asyncio.gather(
            forward(reader, server_writer, seconds=0),
            forward(server_reader, writer, seconds=seconds),
            return_exceptions=True,
        )

    listener = await asyncio.start_server(relay, HOST, port)
    print("listening", flush=True)
    await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
