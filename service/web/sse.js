// Server-sent events out of a fetch body: EventSource cannot post. Knows nothing of what they say.

/** Each event of a byte stream as {event, id, data}; comments are passed over. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { event: "message", id: "", data: [] };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (event.data.length) yield { ...event, data: event.data.join("\n") };
          event = { event: "message", id: event.id, data: [] };
          continue;
        }
        const [, name, text] = /^([^:]*):? ?([^]*)$/.exec(line);
        if (name === "data") event.data.push(text);
        else if (name === "event" || name === "id") event[name] = text;
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever stops reading ends the request
  }
}
