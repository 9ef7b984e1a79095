import type { RecordSink } from '../core/record.ts';
import type { LineWriter } from '../trace/line-writer.ts';

/** `--json`: the records as they come, one a line. JSON itself escapes control characters. */
export const jsonSink = (out: LineWriter): RecordSink => ({
  write: (record) => void out.write(JSON.stringify(record)),
  close: () => out.close(),
});

/** Several sinks as one. */
export const fanOut = (sinks: readonly RecordSink[]): RecordSink => ({
  write(record) {
    for (const sink of sinks) sink.write(record);
  },
  async close() {
    await Promise.all(sinks.map((sink) => sink.close()));
  },
});
