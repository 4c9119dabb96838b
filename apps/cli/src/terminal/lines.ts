import { createInterface } from "node:readline";
import type { Io } from "@infllm/command";

/** Lines from a person at a terminal, or from a pipe. */
export interface LineReader {
  /** The next line without its end; undefined when there is none, or when Ctrl-C or Ctrl-D was pressed for it. */
  next(prompt: string): Promise<string | undefined>;
  close(): void;
}

export function lineReader(io: Io): LineReader {
  return io.stdin.isTTY && io.stdout.stream ? terminalLines(io, io.stdout.stream) : pipedLines(io);
}

/**
 * Line editing with history. The interface lives only while a line is typed: between lines the terminal is in its
 * ordinary mode, so that Ctrl-C reaches the process as a signal and stops an answer.
 */
function terminalLines(io: Io, output: NodeJS.WritableStream): LineReader {
  let history: string[] = [];
  return {
    next: (prompt) =>
      new Promise((resolve) => {
        const editor = createInterface({ input: io.stdin, output, prompt, history, historySize: 200, terminal: true });
        let answer: string | undefined;
        editor.on("history", (lines: string[]) => {
          history = [...lines];
        });
        editor.on("line", (line) => {
          answer = line;
          editor.close();
        });
        editor.on("SIGINT", () => editor.close());
        editor.on("close", () => {
          if (answer === undefined) output.write("\n");
          resolve(answer);
        });
        editor.prompt();
      }),
    close() {},
  };
}

function pipedLines(io: Io): LineReader {
  const reader = createInterface({ input: io.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  const lines = reader[Symbol.asyncIterator]();
  return {
    async next() {
      const { value, done } = await lines.next();
      return done === true ? undefined : value;
    },
    close: () => reader.close(),
  };
}
