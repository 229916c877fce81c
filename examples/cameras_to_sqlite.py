"""Follow cameras and keep what they show in SQLite. Started again, it goes on after the last event that it kept.

python examples/cameras_to_sqlite.py seen.db rtsp://user:password@camera-1/stream1 rtsp://camera-2/stream1
sqlite3 seen.db 'select camera, captured_at, label from seen order by captured_at desc limit 10'
"""

import argparse
import asyncio
import sqlite3

import fovea

SCHEMA = """
create table if not exists cameras (name text primary key, stream text not null);
create table if not exists seen (
    stream text, event text, camera text, captured_at text, label text, score real, spent_gflops real,
    primary key (stream, event)
);
"""


async def follow(client: fovea.AsyncClient, kept: sqlite3.Connection, name: str, url: str) -> None:
    known = kept.execute("select stream from cameras where name = ?", [name]).fetchone()
    if known is None:  # a subscription outlives this program, so each camera has one
        stream = (await client.streams.create(url, name=name, window_s=4, stride_s=1, on="change")).id
        kept.execute("insert into cameras values (?, ?)", [name, stream])
        kept.commit()
    else:
        stream = known[0]
    last = kept.execute("select event from seen where stream = ? order by rowid desc limit 1", [stream]).fetchone()
    async for event in client.streams.follow(stream, last_event_id=last[0] if last else None):
        if isinstance(event.data, fovea.ResultEvent):
            seen = event.data.recognition
            row = [stream, event.id, name, event.data.captured_at, seen.label]
            kept.execute(
                "insert or ignore into seen values (?, ?, ?, ?, ?, ?, ?)",
                [*map(str, row[:4]), row[4], seen.predictions[0].score, seen.compute.spent_gflops],
            )
            kept.commit()


async def main(database: str, url: str, cameras: list[str]) -> None:
    kept = sqlite3.connect(database)
    kept.executescript(SCHEMA)
    async with fovea.AsyncClient(url, retry_for_s=60) as client, asyncio.TaskGroup() as following:
        for number, camera in enumerate(cameras, start=1):
            following.create_task(follow(client, kept, f"camera-{number}", camera))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database")
    parser.add_argument("cameras", nargs="+")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    asked = parser.parse_args()
    asyncio.run(main(asked.database, asked.url, asked.cameras))
